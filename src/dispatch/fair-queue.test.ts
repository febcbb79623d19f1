import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PriorityLevel } from '../common/priority.js';
import { FairQueue, type Queued } from './fair-queue.js';

const always = () => true;
let made = 0;

function item(given: Partial<Queued> = {}): Queued {
  made += 1;
  return { deliveryId: `d${made}`, accountId: 'a', endpointId: 'e', priority: 3, ...given };
}

const some = (count: number, given: Partial<Queued> = {}): Queued[] =>
  Array.from({ length: count }, () => item(given));

function queueOf(...items: Queued[]): FairQueue<Queued> {
  const queue = new FairQueue<Queued>();
  for (const each of items) queue.push(each, 0);
  return queue;
}

function drain(queue: FairQueue<Queued>, mayGo: (endpointId: string) => boolean = always): Queued[] {
  const taken: Queued[] = [];
  for (let next = queue.take(0, true, mayGo); next; next = queue.take(0, true, mayGo)) taken.push(next.item);
  return taken;
}

const idsOf = (items: Queued[]) => items.map(({ deliveryId }) => deliveryId);

describe('a fair queue', () => {
  it('gives the deliveries of one endpoint in the order in which they came', () => {
    const items = some(200);
    expect(idsOf(drain(queueOf(...items)))).toEqual(idsOf(items));
  });

  it('gives the most urgent of backlogs first, whoever came first', () => {
    const levels: PriorityLevel[] = [4, 2, 3, 1];
    const queue = queueOf(...levels.flatMap((priority) => some(40, { priority, accountId: `a${priority}` })));
    expect(drain(queue).map(({ priority }) => priority)).toEqual(
      [1, 2, 3, 4].flatMap((priority) => Array<number>(40).fill(priority)),
    );
  });

  it('gives the most urgent first among flows that keep up too', () => {
    const levels: PriorityLevel[] = [4, 2, 3, 1];
    const queue = queueOf(...levels.map((priority) => item({ priority })));
    expect(drain(queue).map(({ priority }) => priority)).toEqual([1, 2, 3, 4]);
  });

  it('lets a flow that keeps up go before any backlog, of whatever priority', () => {
    const light = item({ accountId: 'light', endpointId: 'light', priority: 4 });
    const queue = queueOf(...some(50, { priority: 1 }), light);
    expect(queue.take(0, true, always)).toEqual({ item: light, backlog: false });
    expect(queue.take(0, true, always)).toMatchObject({ item: { priority: 1 }, backlog: true });
  });

  it('takes nothing from a backlog when told not to', () => {
    const queue = queueOf(...some(32));
    expect(queue.take(0, false, always)).toBeUndefined();
    expect(queue.take(0, true, always)?.backlog).toBe(true);
  });

  it('counts a flow as a backlog until nothing of it waits, and from then on as one that keeps up', () => {
    const queue = queueOf(...some(32));
    for (let left = 32; left > 0; left -= 1) expect(queue.take(0, true, always)?.backlog).toBe(true);
    queue.push(item(), 0);
    expect(queue.take(0, false, always)?.backlog).toBe(false);
  });

  it('gives accounts with backlogs turns, however much each has, and endpoints of an account too', () => {
    const sizes = fc.array(fc.integer({ min: 32, max: 64 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.constantFrom('accountId', 'endpointId'), (counts, whose) => {
        const queue = queueOf(
          ...counts.flatMap((count, index) =>
            some(
              count,
              whose === 'accountId'
                ? { accountId: `a${index}`, endpointId: `e${index}` }
                : { endpointId: `e${index}` },
            ),
          ),
        );
        const left = new Map(counts.map((count, index) => [`e${index}`, count]));
        const given = new Map(counts.map((_, index) => [`e${index}`, 0]));
        for (const { endpointId } of drain(queue)) {
          left.set(endpointId, (left.get(endpointId) ?? 0) - 1);
          given.set(endpointId, (given.get(endpointId) ?? 0) + 1);
          const waiting = [...left].filter(([, count]) => count > 0).map(([id]) => given.get(id) ?? 0);
          expect(Math.max(...waiting, 0) - Math.min(...waiting, Infinity)).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('does not let an account have more turns for having more endpoints', () => {
    const many = Array.from({ length: 10 }, (_, index) => some(10, { endpointId: `e${index}` })).flat();
    const queue = queueOf(...many, ...some(40, { accountId: 'b', endpointId: 'f' }));
    const first = drain(queue).slice(0, 60);
    expect(first.filter(({ accountId }) => accountId === 'b')).toHaveLength(30);
  });

  it('passes over an endpoint that may not be sent to, and holds up nobody for it', () => {
    const closed = some(40, { endpointId: 'closed' });
    const open = some(40, { endpointId: 'open' });
    const queue = queueOf(...closed, ...open);
    expect(idsOf(drain(queue, (endpointId) => endpointId === 'open'))).toEqual(idsOf(open));
    expect([queue.parked, queue.size, queue.ready]).toEqual([['closed'], 40, 0]);
    expect(drain(queue)).toEqual([]);
    queue.unpark('closed', 0);
    expect([queue.parked, queue.size, queue.ready]).toEqual([[], 40, 40]);
    expect(idsOf(drain(queue))).toEqual(idsOf(closed));
  });

  it('asks for a parked endpoint no more until it is let go, whatever comes for it', () => {
    const queue = queueOf(item());
    const asked: string[] = [];
    const refuse = (endpointId: string) => {
      asked.push(endpointId);
      return false;
    };
    expect(queue.take(0, true, refuse)).toBeUndefined();
    queue.push(item(), 0);
    queue.push(item({ priority: 1 }), 0);
    expect(queue.take(0, true, refuse)).toBeUndefined();
    expect(asked).toEqual(['e']);
    queue.unpark('e', 0);
    expect(drain(queue).map(({ priority }) => priority)).toEqual([1, 3, 3]);
  });

  it('puts one that was taken and could not go back to the head of its endpoint', () => {
    const [first, second, third] = [item(), item(), item()];
    const queue = queueOf(first, second, third);
    expect(queue.take(0, true, always)?.item).toBe(first);
    expect(queue.take(0, true, always)?.item).toBe(second);
    queue.push(second, 0, true);
    queue.push(first, 0, true);
    expect(drain(queue)).toEqual([first, second, third]);
  });

  it('takes a delivery that waits already no second time', () => {
    const once = item();
    const queue = queueOf(once, once);
    expect(queue.size).toBe(1);
    expect(drain(queue)).toEqual([once]);
  });

  it('says which endpoints something waits for, and how much', () => {
    const queue = queueOf(...some(3, { endpointId: 'long' }), ...some(2, { endpointId: 'short' }));
    expect([...queue.endpoints].map(({ endpointId }) => endpointId)).toEqual(['long', 'short']);
    expect([queue.waitingFor('long'), queue.waitingFor('unknown')]).toEqual([3, 0]);
    queue.take(0, true, always);
    expect([queue.waitingOf('a'), queue.waitingOf('unknown')]).toEqual([4, 0]);
  });

  it('expects a flow that keeps up back for a while, and a backlog not at all', () => {
    const queue = queueOf(...some(32, { accountId: 'heavy' }));
    expect(queue.lightIsExpected(0)).toBe(false);
    queue.push(item({ accountId: 'light', endpointId: 'f' }), 1_000);
    drain(queue);
    expect(queue.lightIsExpected(10_999)).toBe(true);
    expect(queue.lightIsExpected(11_000)).toBe(false);
  });

  it('removes what it is told to and keeps the rest in order, parked where it was parked', () => {
    const auto = some(10, { endpointId: 'closed' });
    const fixed = some(10, { endpointId: 'closed' });
    const other = some(3, { endpointId: 'open' });
    const queue = queueOf(...auto, ...fixed, ...other);
    const taken = queue.take(0, true, (endpointId) => endpointId !== 'closed');
    const chosen = new Set(idsOf(auto));
    expect(idsOf(queue.remove(({ deliveryId }) => chosen.has(deliveryId), 0)).sort()).toEqual(
      idsOf(auto).sort(),
    );
    expect([queue.size, queue.ready, queue.parked]).toEqual([12, 2, ['closed']]);
    expect(queue.has(auto[0]?.deliveryId ?? '')).toBe(false);
    queue.unpark('closed', 0);
    const rest = drain(queue);
    expect(rest.filter(({ endpointId }) => endpointId === 'closed')).toEqual(fixed);
    expect([taken?.item, ...rest.filter(({ endpointId }) => endpointId === 'open')]).toEqual(other);
  });

  it('loses and doubles none, and keeps its counts true, whatever is done to it in whatever order', () => {
    const level = fc.constantFrom<PriorityLevel[]>(1, 2, 3, 4);
    const endpoint = fc.nat(5);
    const endpoints = fc.uniqueArray(endpoint, { maxLength: 6 });
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constant('push' as const),
          endpoint,
          level,
          count: fc.integer({ min: 1, max: 12 }),
        }),
      },
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constant('take' as const),
          closed: endpoints,
          backlogs: fc.boolean(),
          back: fc.boolean(),
          count: fc.integer({ min: 1, max: 12 }),
        }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('unpark' as const), endpoint }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), level }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), at: fc.nat() }) },
      { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const queue = new FairQueue<Queued>();
        /** What waits for each endpoint at each priority, in order. */
        const lines = new Map<string, Queued[]>();
        const parked = new Set<string>();
        let now = 0;
        const lineOf = ({ endpointId, priority }: Queued) => {
          const key = `${endpointId}/${priority}`;
          const line = lines.get(key) ?? [];
          lines.set(key, line);
          return line;
        };
        const waiting = () => [...lines.values()].flat();
        const forget = () => {
          const awaited = new Set(waiting().map(({ endpointId }) => endpointId));
          for (const id of parked) if (!awaited.has(id)) parked.delete(id);
        };
        for (const each of steps) {
          now += 1;
          switch (each.do) {
            case 'push':
              for (let count = 0; count < each.count; count += 1) {
                const pushed = item({
                  // Endpoints 0 to 2 are one account's, 3 to 5 another's.
                  accountId: `a${Math.floor(each.endpoint / 3)}`,
                  endpointId: `e${each.endpoint}`,
                  priority: each.level,
                });
                lineOf(pushed).push(pushed);
                queue.push(pushed, now);
              }
              break;
            case 'take':
              for (let count = 0; count < each.count; count += 1) {
                const closed = new Set(each.closed.map((id) => `e${id}`));
                const asked = new Set<string>();
                const next = queue.take(now, each.backlogs, (endpointId) => {
                  expect(parked.has(endpointId)).toBe(false);
                  asked.add(endpointId);
                  return !closed.has(endpointId);
                });
                for (const id of asked) if (closed.has(id)) parked.add(id);
                if (!next) {
                  const open = waiting().filter(({ endpointId }) => !parked.has(endpointId));
                  if (each.backlogs) expect(open).toEqual([]);
                  break;
                }
                expect(parked.has(next.item.endpointId)).toBe(false);
                expect(lineOf(next.item).shift()).toBe(next.item);
                if (!each.back) continue;
                lineOf(next.item).unshift(next.item);
                queue.push(next.item, now, true);
              }
              break;
            case 'unpark':
              parked.delete(`e${each.endpoint}`);
              queue.unpark(`e${each.endpoint}`, now);
              break;
            case 'remove': {
              const chosen = ({ priority }: Queued) => priority === each.level;
              const expected = waiting().filter(chosen);
              for (const [key, line] of lines)
                lines.set(
                  key,
                  line.filter((one) => !chosen(one)),
                );
              expect(new Set(queue.remove(chosen, now))).toEqual(new Set(expected));
              break;
            }
            case 'advance': {
              const all = waiting();
              const chosen = all[each.at % all.length];
              if (!chosen) break;
              const line = lineOf(chosen);
              line.unshift(...line.splice(line.indexOf(chosen), 1));
              queue.advance(chosen.deliveryId, chosen.endpointId);
              break;
            }
            case 'clear':
              lines.clear();
              queue.clear();
          }
          forget();
          expect(queue.size).toBe(waiting().length);
          expect(queue.ready).toBe(waiting().filter(({ endpointId }) => !parked.has(endpointId)).length);
          expect(new Set(queue.parked)).toEqual(parked);
          expect(waiting().every(({ deliveryId }) => queue.has(deliveryId))).toBe(true);
        }
        for (const id of parked) queue.unpark(id, now);
        expect(new Set(drain(queue))).toEqual(new Set(waiting()));
        expect([queue.size, queue.ready]).toEqual([0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});
