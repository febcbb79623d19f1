import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Allowance, type Ask, type Grant, HOLD_MS, type PublishLimits } from './allowance.js';

const DAY_MS = 86_400_000;
const dayOf = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** The row that all processes share, as the database reckons it. */
class Row {
  private debt = 0;
  private countedAtMs = 0;
  private day = dayOf(0);
  private used = 0;

  take({ perSecond, burst, perDay }: PublishLimits, ask: Ask, askDay: string | null, nowMs: number): Grant {
    const today = dayOf(nowMs);
    const paid = ((nowMs - this.countedAtMs) / 1000) * (perSecond ?? 0);
    this.debt = Math.max(0, this.debt - paid - ask.unpaid);
    this.countedAtMs = nowMs;
    if (this.day === today) this.used = Math.max(0, this.used - (askDay === today ? ask.returned : 0));
    else this.used = 0;
    this.day = today;
    const room = Math.max(
      0,
      Math.min(
        perSecond === null ? Infinity : Math.floor(burst - this.debt),
        (perDay ?? Infinity) - this.used,
      ),
    );
    const granted =
      room <= ask.needed ? room : ask.needed + Math.min(ask.extra, Math.floor((room - ask.needed) / 2));
    this.debt = perSecond === null ? 0 : this.debt + granted;
    this.used += granted;
    return { granted, debt: this.debt, used: this.used, day: today, dayLeftMs: DAY_MS - (nowMs % DAY_MS) };
  }
}

class Process {
  readonly allowance: Allowance;

  constructor(
    private readonly limits: PublishLimits,
    private readonly row: Row,
  ) {
    this.allowance = new Allowance(limits);
  }

  asks = 0;

  publish(count: number, nowMs: number) {
    let verdict = this.allowance.take(count, nowMs);
    if (verdict.kind === 'ask') {
      this.asks += 1;
      const { day } = this.allowance;
      const ask = this.allowance.ask(count, nowMs);
      this.allowance.answered(ask, this.row.take(this.limits, ask, day, nowMs), nowMs);
      verdict = this.allowance.take(count, nowMs, true);
    }
    return verdict;
  }
}

const some = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.nat(20), fc.nat(2_000)),
    process: fc.nat(2),
    count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 20 })),
  }),
  { minLength: 1, maxLength: 200 },
);

describe('an allowance', () => {
  it('lets no more than the rate pays for be published, beside a burst and less than another', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 100 }),
        some,
        (perSecond, burst, asked) => {
          const limits = { perSecond, burst, perDay: null };
          const row = new Row();
          const processes = [0, 1, 2].map(() => new Process(limits, row));
          let nowMs = 0;
          const published: { atMs: number; count: number }[] = [];
          for (const { afterMs, process, count } of asked) {
            nowMs += afterMs;
            if (processes[process]?.publish(count, nowMs).kind === 'granted')
              published.push({ atMs: nowMs, count });
          }
          for (let from = 0; from < published.length; from += 1) {
            let sum = 0;
            for (const { atMs, count } of published.slice(from)) {
              sum += count;
              const overMs = atMs - (published[from]?.atMs ?? 0);
              expect(sum).toBeLessThanOrEqual(
                burst + Math.min(burst, (HOLD_MS / 1000) * perSecond) + (overMs / 1000) * perSecond + 1e-6,
              );
            }
          }
        },
      ),
      {
        // Returned only when time had paid for it already.
        examples: [
          [
            1,
            1,
            [
              { afterMs: 0, process: 0, count: 2 },
              { afterMs: 51, process: 0, count: 2 },
              { afterMs: 949, process: 1, count: 1 },
              { afterMs: 0, process: 0, count: 1 },
            ],
          ],
        ],
      },
    );
  });

  it('never lets more be published on a day than its quota', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), some, (perDay, asked) => {
        const limits = { perSecond: null, burst: 0, perDay };
        const row = new Row();
        const processes = [0, 1, 2].map(() => new Process(limits, row));
        let nowMs = DAY_MS - 1_000;
        const days = new Map<string, number>();
        for (const { afterMs, process, count } of asked) {
          nowMs += afterMs;
          if (processes[process]?.publish(count, nowMs).kind !== 'granted') continue;
          days.set(dayOf(nowMs), (days.get(dayOf(nowMs)) ?? 0) + count);
        }
        for (const count of days.values()) expect(count).toBeLessThanOrEqual(perDay);
      }),
    );
  });

  it('refuses nobody who keeps to the limits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 50 }), (perSecond, burst) => {
        const process = new Process({ perSecond, burst, perDay: 1_000 }, new Row());
        let nowMs = 0;
        for (let count = 0; count < 300; count += 1) {
          expect(process.publish(1, nowMs)).toEqual({ kind: 'granted' });
          nowMs += Math.ceil(1000 / perSecond);
        }
      }),
    );
  });

  it('asks far less often than it is asked when much is published', () => {
    const process = new Process({ perSecond: 10_000, burst: 10_000, perDay: null }, new Row());
    for (let ms = 0; ms < 5_000; ms += 1) expect(process.publish(1, ms).kind).toBe('granted');
    expect(process.asks).toBeLessThan(400);
  });

  it('asks now and then while all is refused', () => {
    const process = new Process({ perSecond: 1, burst: 1, perDay: null }, new Row());
    const granted = Array.from({ length: 5_000 }, (_, ms) => process.publish(1, ms)).filter(
      ({ kind }) => kind === 'granted',
    );
    expect(granted).toHaveLength(5);
    expect(process.asks).toBeLessThan(20);
  });

  it('tells which limit refuses, and when it is worth coming again', () => {
    const hurried = new Process({ perSecond: 2, burst: 4, perDay: 100 }, new Row());
    expect(hurried.publish(4, 0).kind).toBe('granted');
    expect(hurried.publish(2, 0)).toEqual({ kind: 'refused', by: 'publishPerSecond', retryMs: 1_000 });
    const spent = new Process({ perSecond: 1_000, burst: 1_000, perDay: 5 }, new Row());
    expect(spent.publish(5, DAY_MS / 2).kind).toBe('granted');
    expect(spent.publish(1, DAY_MS / 2)).toEqual({
      kind: 'refused',
      by: 'eventsPerDay',
      retryMs: DAY_MS / 2,
    });
    expect(spent.allowance.left(DAY_MS / 2)).toEqual({
      rate: { remaining: 995, resetSeconds: 1 },
      day: { remaining: 0, resetSeconds: 43_200 },
    });
  });

  it('asks at once when the limits have changed', () => {
    const process = new Process({ perSecond: null, burst: 0, perDay: 1 }, new Row());
    process.publish(1, 0);
    expect(process.publish(1, 0).kind).toBe('refused');
    expect(process.allowance.take(1, 1).kind).toBe('refused');
    process.allowance.learn({ perSecond: null, burst: 0, perDay: 2 });
    expect(process.allowance.take(1, 1).kind).toBe('ask');
  });

  it('returns what it does not need', () => {
    const limits = { perSecond: null, burst: 0, perDay: 100 };
    const row = new Row();
    const process = new Process(limits, row);
    for (let ms = 0; ms < 20; ms += 1) process.publish(1, ms);
    expect(process.allowance.owes(20)).toBe(false);
    expect(process.allowance.owes(20 + HOLD_MS)).toBe(true);
    const { day } = process.allowance;
    const back = process.allowance.ask(0, 20 + HOLD_MS);
    expect(row.take(limits, { ...back, extra: 0 }, day, 20 + HOLD_MS).used).toBe(20);
    expect(process.allowance.owes(20 + HOLD_MS)).toBe(false);
  });
});
