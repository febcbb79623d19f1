import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MicroBatch } from './micro-batch.js';

/** Hand-overs that end when the test says so. */
function held<Item>() {
  const batches: { items: Item[]; end: () => void; fail: (error: Error) => void }[] = [];
  const run = (items: Item[]) =>
    new Promise<Item[]>((resolve, reject) => {
      batches.push({ items, end: () => resolve(items), fail: reject });
    });
  return { batches, run };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a micro-batch', () => {
  it('hands a lone item over at once', async () => {
    const batch = new MicroBatch((items: number[]) => Promise.resolve(items.map((item) => item * 2)), {
      maxItems: 10,
      concurrency: 1,
    });
    expect(await batch.add(21)).toBe(42);
  });

  it('hands what comes in one turn of the loop over together, and what comes meanwhile together after it', async () => {
    const { batches, run } = held<number>();
    const batch = new MicroBatch(run, { maxItems: 10, concurrency: 1 });
    const results = [1, 2, 3].map((item) => batch.add(item));
    await turn();
    results.push(...[4, 5].map((item) => batch.add(item)));
    await turn();
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3]]);
    expect(batch.waiting).toBe(2);
    batches[0]?.end();
    await turn();
    batches[1]?.end();
    expect(await Promise.all(results)).toEqual([1, 2, 3, 4, 5]);
    expect(batches.map(({ items }) => items)).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
  });

  it('takes owners in turns, and of each in order, whatever is too heavy for one hand-over', async () => {
    const { batches, run } = held<string>();
    const batch = new MicroBatch(run, {
      maxItems: 3,
      concurrency: 1,
      ownerOf: (item) => item.charAt(0),
      weigh: (item) => Number(item.slice(3)),
      maxWeight: 10,
    });
    const all = ['a1', 'a2:4', 'a3:9', 'a4', 'b1:5', 'b2:5'].map((item) => batch.add(item));
    for (let count = 0; count < all.length; count += 1) {
      await turn();
      batches[count]?.end();
    }
    await Promise.all(all);
    expect(batches.map(({ items }) => items)).toEqual([['a1', 'b1:5', 'a2:4'], ['b2:5'], ['a3:9', 'a4']]);
  });

  it('keeps to its item limit, its weight limit and its concurrency, and answers every item in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(12), { maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 3 }),
        async (weights, maxItems, concurrency) => {
          let running = 0;
          const batch = new MicroBatch(
            async (items: number[]) => {
              running += 1;
              expect(running).toBeLessThanOrEqual(concurrency);
              expect(items.length).toBeLessThanOrEqual(maxItems);
              const weight = items.reduce((sum, item) => sum + item, 0);
              expect(items.length === 1 || weight <= 10).toBe(true);
              await turn();
              running -= 1;
              return items.map((item) => item + 1);
            },
            { maxItems, concurrency, weigh: (item) => item, maxWeight: 10 },
          );
          const results = await Promise.all(weights.map((weight) => batch.add(weight)));
          expect(results).toEqual(weights.map((weight) => weight + 1));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('spaces hand-overs when told to, the first one and full ones excepted', async () => {
    const batches: number[][] = [];
    const batch = new MicroBatch<number, number>(
      (items) => {
        batches.push(items);
        return Promise.resolve(items);
      },
      { maxItems: 3, concurrency: 4, spacingMs: 60_000 },
    );
    await batch.add(1);
    const spaced = [batch.add(2), batch.add(3)];
    expect(batches).toEqual([[1]]);
    await Promise.all([...spaced, batch.add(4)]);
    expect(batches).toEqual([[1], [2, 3, 4]]);
  });

  it('takes an item that is over the weight limit alone', async () => {
    const { batches, run } = held<number>();
    const batch = new MicroBatch(run, { maxItems: 10, concurrency: 3, weigh: (item) => item, maxWeight: 10 });
    void batch.add(4);
    void batch.add(99);
    void batch.add(5);
    await turn();
    expect(batches.map(({ items }) => items)).toEqual([[4], [99], [5]]);
    batches.forEach(({ end }) => end());
    await batch.drained();
  });

  it('fails every item of a hand-over that fails, and goes on with the next', async () => {
    const { batches, run } = held<number>();
    const batch = new MicroBatch(run, { maxItems: 2, concurrency: 1 });
    const settled = Promise.allSettled([1, 2, 3].map((item) => batch.add(item)));
    await turn();
    batches[0]?.fail(new Error('down'));
    await turn();
    batches[1]?.end();
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });

  it('fails an item that got no answer instead of leaving it waiting', async () => {
    const batch = new MicroBatch<number, number>(() => Promise.resolve([1]), {
      maxItems: 10,
      concurrency: 1,
    });
    const settled = await Promise.allSettled([batch.add(1), batch.add(2)]);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('is drained when all that was added has been answered, and not before', async () => {
    const { batches, run } = held<number>();
    const batch = new MicroBatch(run, { maxItems: 1, concurrency: 1 });
    const both = [batch.add(1), batch.add(2)];
    let drained = false;
    const draining = batch.drained().then(() => {
      drained = true;
    });
    await turn();
    batches[0]?.end();
    await turn();
    expect(drained).toBe(false);
    batches[1]?.end();
    await draining;
    expect(await Promise.all(both)).toEqual([1, 2]);
  });
});
