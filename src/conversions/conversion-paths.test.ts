import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Chain, ConversionPaths, type Edge, MAX_STEPS } from './conversion-paths.js';

const edge = (from: string, to: string): Edge => ({ from, to, id: `${from}>${to}` });
const pathsOf = (...pairs: [from: string, to: string][]) =>
  new ConversionPaths(pairs.map(([from, to]) => edge(from, to)));
const versionsOf = (chain: Chain | undefined) => chain?.steps.map(({ from, to }) => `${from}>${to}`);

/** Walks every way that there is, and keeps the shortest; of those the first. */
function reference(edges: readonly Edge[], from: string, to: string): readonly Edge[] | undefined {
  let best: readonly Edge[] | undefined;
  const walk = (at: string, steps: readonly Edge[]) => {
    if (at === to) {
      if (!best || steps.length < best.length) best = steps;
      return;
    }
    if (steps.length === MAX_STEPS) return;
    for (const next of edges)
      if (next.from === at && next.to !== from && !steps.some((step) => step.to === next.to))
        walk(next.to, [...steps, next]);
  };
  walk(from, []);
  return best;
}

describe('the way from one version to another', () => {
  it('is the shortest, in either direction', () => {
    const paths = pathsOf(['3', '2'], ['2', '1'], ['1', '2'], ['3', '0'], ['0', '1'], ['3', '1']);
    expect(versionsOf(paths.chain('3', '1'))).toEqual(['3>1']);
    expect(versionsOf(paths.chain('1', '2'))).toEqual(['1>2']);
    expect(paths.chain('3', '1')).toMatchObject({ to: '1', key: '3>1' });
  });

  it('is the one whose conversions come first, where several are equally short', () => {
    expect(versionsOf(pathsOf(['3', 'b'], ['3', 'a'], ['a', '1'], ['b', '1']).chain('3', '1'))).toEqual([
      '3>b',
      'b>1',
    ]);
  });

  it('is none where nothing leads there, and from a version to itself', () => {
    const paths = pathsOf(['1', '2'], ['2', '1'], ['__proto__', '1']);
    expect(paths.chain('1', '3')).toBeUndefined();
    expect(paths.chain('3', '1')).toBeUndefined();
    expect(paths.chain('1', '1')).toBeUndefined();
    expect(paths.chain('1', 'constructor')).toBeUndefined();
    expect(versionsOf(paths.chain('__proto__', '2'))).toEqual(['__proto__>1', '1>2']);
  });

  it('has ten steps at most', () => {
    const line = Array.from({ length: 12 }, (_, index): [string, string] => [`${index}`, `${index + 1}`]);
    const paths = pathsOf(...line);
    expect(paths.chain('0', '10')?.steps).toHaveLength(10);
    expect(paths.chain('0', '11')).toBeUndefined();
    expect(paths.chain('2', '12')?.steps).toHaveLength(10);
  });

  it('is what walking every way comes to', () => {
    const version = fc.constantFrom('1', '2', '3', '4', '5');
    const edges = fc
      .uniqueArray(fc.tuple(version, version), { selector: ([from, to]) => `${from}>${to}`, maxLength: 14 })
      .map((pairs) => pairs.filter(([from, to]) => from !== to).map(([from, to]) => edge(from, to)));
    fc.assert(
      fc.property(edges, version, version, (given, from, to) => {
        fc.pre(from !== to);
        const chain = new ConversionPaths(given).chain(from, to);
        expect(chain?.steps).toEqual(reference(given, from, to));
        expect(chain?.key).toBe(
          reference(given, from, to)
            ?.map(({ id }) => id)
            .join(),
        );
      }),
    );
  });
});
