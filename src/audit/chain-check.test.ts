import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ChainSource, checkChain, type Head } from './chain-check.js';
import { type AuditEntry, entryHash } from './entry.js';

type Content = Omit<AuditEntry, 'sequence' | 'previousHash' | 'hash'>;

const text = fc.string({ maxLength: 8 });
const content: fc.Arbitrary<Content> = fc.record({
  id: fc.uuid(),
  accountId: fc.option(text),
  createdAt: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  actor: text,
  address: fc.option(text),
  userAgent: fc.option(text),
  action: fc.constantFrom('endpoint.update' as const, 'secret.read' as const),
  resourceId: text,
  changes: fc.dictionary(text, fc.record({ from: fc.jsonValue(), to: fc.jsonValue() }), { maxKeys: 2 }),
  requestId: fc.uuid(),
});

const sealed = (entry: Omit<AuditEntry, 'hash'>): AuditEntry => ({ ...entry, hash: entryHash(entry) });

/** A chain in memory, which a test may do anything to. */
class Chain implements ChainSource {
  entries: AuditEntry[] = [];
  end: Head | null = null;

  static of(contents: readonly Content[]): Chain {
    const chain = new Chain();
    for (const each of contents) {
      const last = chain.entries.at(-1);
      chain.entries.push(
        sealed({ ...each, sequence: chain.entries.length + 1, previousHash: last?.hash ?? null }),
      );
    }
    chain.close();
    return chain;
  }

  /** Makes the head agree with the last entry. */
  close(): void {
    const last = this.entries.at(-1);
    this.end = last ? { sequence: last.sequence, hash: last.hash } : null;
  }

  /** Numbers and links and hashes every entry anew, from this place on. */
  rewrite(from: number): void {
    for (let place = from; place < this.entries.length; place += 1) {
      const previousHash = this.entries[place - 1]?.hash ?? null;
      this.entries[place] = sealed({ ...this.at(place), sequence: place + 1, previousHash });
    }
    this.close();
  }

  at(place: number): AuditEntry {
    const entry = this.entries[place];
    if (!entry) throw new Error(`the chain has no place ${place}`);
    return entry;
  }

  head(): Promise<Head | null> {
    return Promise.resolve(this.end);
  }

  after(entry: AuditEntry | null): Promise<AuditEntry[]> {
    const order = (one: AuditEntry, other: AuditEntry) =>
      one.sequence - other.sequence || (one.id === other.id ? 0 : one.id < other.id ? -1 : 1);
    return Promise.resolve(
      this.entries
        .filter((each) => entry === null || order(each, entry) > 0)
        .sort(order)
        .slice(0, 3),
    );
  }

  successorsOf(hash: string | null): Promise<AuditEntry[]> {
    return Promise.resolve(this.entries.filter(({ previousHash }) => previousHash === hash));
  }
}

const contents = (minLength: number) =>
  fc.uniqueArray(content, { minLength, maxLength: 9, selector: ({ id }) => id });

/** A chain, and one of its places. */
const chainAndPlace = (minLength = 1) =>
  contents(minLength).chain((each) => fc.tuple(fc.constant(each), fc.nat({ max: each.length - 1 })));

const holds = async <T>(inputs: fc.Arbitrary<T>, check: (input: T) => Promise<void>) =>
  fc.assert(fc.asyncProperty(inputs, check), { numRuns: 60 });

describe('a chain of the audit log', () => {
  it('is right as it was written, and says where it ends', () =>
    holds(contents(0), async (each) => {
      const chain = Chain.of(each);
      expect(await checkChain(chain)).toEqual({ entries: each.length, head: chain.end, finding: null });
      expect((await checkChain(chain, chain.end)).finding).toBeNull();
    }));

  it.each([
    ['id', 'x'],
    ['accountId', 'x'],
    ['createdAt', 'x'],
    ['actor', 'another one'],
    ['address', 'another one'],
    ['userAgent', 'another one'],
    ['action', 'account.create'],
    ['resourceId', 'another one'],
    ['changes', { url: { from: 'x', to: 'y' }, more: { from: null, to: null }, most: { from: 1, to: 2 } }],
    ['requestId', 'x'],
    ['previousHash', 'x'],
    ['hash', 'x'],
  ])('shows where the %s of an entry was changed', (field, value) =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      fc.pre(new Map<string, unknown>(Object.entries(chain.at(place))).get(field) !== value);
      chain.entries[place] = { ...chain.at(place), [field]: value };
      expect(await checkChain(chain)).toMatchObject({
        entries: place,
        finding: { problem: 'changed', sequence: place + 1, id: chain.at(place).id },
      });
    }),
  );

  it('shows which entry was changed although its hash was made anew', () =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      chain.entries[place] = sealed({ ...chain.at(place), actor: 'somebody else' });
      expect(await checkChain(chain)).toMatchObject({
        entries: place,
        finding: { problem: 'changed', sequence: place + 1, id: chain.at(place).id },
      });
    }));

  it('shows where entries are missing, at its end too', () =>
    holds(
      fc.tuple(chainAndPlace(), fc.nat({ max: 3 }), fc.boolean()),
      async ([[each, place], more, renumber]) => {
        const chain = Chain.of(each);
        chain.entries.splice(place, 1 + more);
        if (renumber)
          chain.entries = chain.entries.map((entry, index) => ({ ...entry, sequence: index + 1 }));
        expect(await checkChain(chain)).toMatchObject({
          entries: place,
          finding: { problem: 'removed', sequence: place + 1, id: null },
        });
      },
    ));

  it('shows where two entries have changed places', () =>
    holds(
      contents(2).chain((each) =>
        fc.tuple(
          fc.constant(each),
          fc.uniqueArray(fc.nat({ max: each.length - 1 }), { minLength: 2, maxLength: 2 }),
        ),
      ),
      async ([each, places]) => {
        const chain = Chain.of(each);
        const [one = 0, other = 0] = places.sort((a, b) => a - b);
        const [first, second] = [chain.at(one), chain.at(other)];
        chain.entries[one] = { ...second, sequence: first.sequence };
        chain.entries[other] = { ...first, sequence: second.sequence };
        expect(await checkChain(chain)).toMatchObject({
          entries: one,
          finding: { problem: 'reordered', sequence: one + 1, id: second.id },
        });
      },
    ));

  it('shows which entry was moved to another number', () =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      chain.entries[place] = { ...chain.at(place), sequence: each.length + 5 };
      expect(await checkChain(chain)).toMatchObject({
        entries: place,
        finding: { problem: 'reordered', sequence: place + 1, id: each[place]?.id },
      });
    }));

  it.each(['renumbered', 'given the same number'])(
    'shows which entry was put in, with the others %s',
    (others) =>
      holds(fc.tuple(chainAndPlace(), fc.boolean(), fc.boolean()), async ([[each, place], valid, early]) => {
        const chain = Chain.of(each);
        const written = chain.at(place);
        const forged = sealed({ ...written, id: early ? '0' : 'z', actor: 'somebody else' });
        chain.entries.splice(place, 0, valid ? forged : { ...forged, hash: 'x' });
        if (others === 'renumbered')
          chain.entries = chain.entries.map((entry, index) => ({ ...entry, sequence: index + 1 }));
        const { finding } = await checkChain(chain);
        expect(finding).toMatchObject({ problem: 'inserted', sequence: place + 1, id: forged.id });
      }),
  );

  it('shows which entry was added behind its end', () =>
    holds(fc.tuple(contents(1), fc.boolean(), fc.nat({ max: 2 })), async ([each, valid, skipped]) => {
      const chain = Chain.of(each);
      const last = chain.at(each.length - 1);
      const sequence = last.sequence + 1 + skipped;
      const forged = sealed({ ...last, id: 'forged', sequence, previousHash: last.hash });
      chain.entries.push(valid ? forged : { ...forged, hash: 'x' });
      expect(await checkChain(chain)).toMatchObject({
        entries: each.length,
        finding: { problem: 'inserted', sequence, id: 'forged' },
      });
    }));

  it('is not right without its head', () =>
    holds(contents(1), async (each) => {
      const chain = Chain.of(each);
      chain.end = null;
      expect((await checkChain(chain)).finding).toMatchObject({ problem: 'removed', sequence: each.length });
    }));

  it('shows by a kept head alone that all of it was written anew', () =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      const kept = chain.end;
      chain.entries[place] = { ...chain.at(place), actor: 'somebody else' };
      chain.rewrite(place);
      expect((await checkChain(chain)).finding).toBeNull();
      expect((await checkChain(chain, kept)).finding).toMatchObject({
        problem: 'changed',
        sequence: each.length,
      });
    }));

  it('shows by a kept head alone that its end was cut off together with its own head', () =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      const kept = chain.end;
      chain.entries.splice(place);
      chain.close();
      expect((await checkChain(chain)).finding).toBeNull();
      expect((await checkChain(chain, kept)).finding).toMatchObject({
        problem: 'removed',
        sequence: place + 1,
        id: null,
      });
    }));

  it('may grow after its head was kept', () =>
    holds(chainAndPlace(), async ([each, place]) => {
      const chain = Chain.of(each);
      const { sequence, hash } = chain.at(place);
      expect((await checkChain(chain, { sequence, hash })).finding).toBeNull();
    }));
});
