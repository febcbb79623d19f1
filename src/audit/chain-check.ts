import { type AuditEntry, entryHash } from './entry.js';

/** Where a chain ends: the number and the hash of its last entry. */
export interface Head {
  sequence: number;
  hash: string;
}

/** The first thing that is wrong with a chain. */
export interface Finding {
  sequence: number;
  /** `aud_…`; null where no entry is left to name. */
  id: string | null;
  problem: 'changed' | 'removed' | 'inserted' | 'reordered';
  detail: string;
}

/** A chain as it is stored, whatever was done to it. */
export interface ChainSource {
  /** As the database keeps it beside the entries; null when it keeps none. */
  head(): Promise<Head | null>;
  /** The entries that follow this one by sequence and id, as many as fit a page; none at the end. */
  after(entry: AuditEntry | null): Promise<readonly AuditEntry[]>;
  /** Some of the entries that say that they follow the one with this hash. */
  successorsOf(hash: string | null): Promise<readonly AuditEntry[]>;
}

export interface Verdict {
  /** How many entries are right, from the first one on. */
  entries: number;
  head: Head | null;
  finding: Finding | null;
}

/**
 * Walks a chain from its first entry, a page at a time, to the first thing that is wrong.
 *
 * @param kept a head that was noted at an earlier time, outside the database
 */
export async function checkChain(source: ChainSource, kept: Head | null = null): Promise<Verdict> {
  const head = await source.head();
  let previous: AuditEntry | null = null;
  const verdict = (finding: Finding | null): Verdict => ({
    entries: finding
      ? Math.max(0, Math.min(previous?.sequence ?? 0, finding.sequence - 1))
      : (previous?.sequence ?? 0),
    head,
    finding,
  });
  for (let page = await source.after(null); page.length > 0; page = await source.after(previous)) {
    for (const entry of page) {
      const place: Place = { sequence: (previous?.sequence ?? 0) + 1, previous, head };
      const fits =
        entry.sequence === place.sequence &&
        entry.previousHash === (previous?.hash ?? null) &&
        entryHash(entry) === entry.hash;
      if (!fits) return verdict(await diagnose(entry, place, source));
      if (head && place.sequence > head.sequence) return verdict(found('inserted', entry, BEHIND_THE_HEAD));
      if (kept?.sequence === entry.sequence && kept.hash !== entry.hash)
        return verdict(
          found('changed', entry, 'it, or one before it, is not what it was when its head was kept'),
        );
      previous = entry;
    }
  }
  return verdict(checkEnd(previous, head, kept));
}

function checkEnd(last: AuditEntry | null, head: Head | null, kept: Head | null): Finding | null {
  const end = last?.sequence ?? 0;
  if (kept && kept.sequence > end) return removed(end + 1, kept.sequence, 'by the head that was kept');
  if (head && head.sequence > end) return removed(end + 1, head.sequence, 'by the head of the chain');
  if (last && !head) return found('removed', last, 'the head of the chain is gone');
  if (last && head && head.hash !== last.hash)
    return found('changed', last, 'the head of the chain has another hash');
  return null;
}

const BEHIND_THE_HEAD = 'the chain ended before it';

interface Place {
  sequence: number;
  previous: AuditEntry | null;
  head: Head | null;
}

/** Tells what was done so that `entry`, which comes next, does not fit. */
async function diagnose(entry: AuditEntry, place: Place, source: ChainSource): Promise<Finding> {
  const { sequence, previous, head } = place;
  const follows = await source.successorsOf(previous?.hash ?? null);
  const genuine = follows.find((other) => isGenuineAt(other, sequence));
  if (genuine) {
    if (entry.sequence > sequence)
      return reordered(genuine, sequence, `it is now number ${genuine.sequence}`);
    if (entry.sequence < sequence) return found('inserted', entry, 'there is another of this number');
    if (isGenuineAt(entry, genuine.sequence) || isGenuineAt(entry, sequence + 1))
      return reordered(entry, sequence, `number ${sequence} is ${genuine.id}`);
    return found('inserted', { ...entry, sequence }, `number ${sequence} is ${genuine.id}`);
  }
  if (previous && (await isInsertedBefore(entry, previous, place, source)))
    return found('inserted', previous, `number ${previous.sequence} is ${entry.id}`);
  if (entry.sequence < sequence) return found('inserted', entry, 'there is another of this number');
  if (head && sequence > head.sequence) return found('inserted', entry, BEHIND_THE_HEAD);
  if (entry.sequence > sequence) return removed(sequence, entry.sequence - 1, `since ${entry.id} comes next`);
  const later = laterPlaceOf(entry, sequence);
  if (later !== null) return removed(sequence, later - 1, `and ${entry.id} has been given its number`);
  if (previous && entryHash(entry) === entry.hash && (await isLinked(entry, place, source)))
    return found('changed', previous, 'the entries after it follow another one');
  return found('changed', entry, 'it does not have its hash, or does not follow the one before it');
}

/** Both say that they follow the same entry: `previous` has taken the place of `entry`. */
async function isInsertedBefore(
  entry: AuditEntry,
  previous: AuditEntry,
  place: Place,
  source: ChainSource,
): Promise<boolean> {
  if (entry.previousHash !== previous.previousHash || !isGenuineAt(entry, previous.sequence)) return false;
  const doubted = await source.successorsOf(previous.hash);
  return doubted.length === 0 && (await isLinked(entry, place, source));
}

/** Whether the rest of the chain builds on it. */
const isLinked = async (entry: AuditEntry, { head }: Place, source: ChainSource): Promise<boolean> =>
  head?.hash === entry.hash || (await source.successorsOf(entry.hash)).length > 0;

/** Whether its hash was made for this place. */
const isGenuineAt = (entry: AuditEntry, sequence: number): boolean =>
  entryHash({ ...entry, sequence }) === entry.hash;

/** How many entries may have been removed, and the rest renumbered, for that to be recognised. */
const RENUMBERED_BY = 100;

function laterPlaceOf(entry: AuditEntry, sequence: number): number | null {
  for (let later = sequence + 1; later <= sequence + RENUMBERED_BY; later += 1)
    if (isGenuineAt(entry, later)) return later;
  return null;
}

const found = (problem: Finding['problem'], entry: AuditEntry, detail: string): Finding => ({
  sequence: entry.sequence,
  id: entry.id,
  problem,
  detail,
});

const reordered = (entry: AuditEntry, sequence: number, detail: string): Finding =>
  found('reordered', { ...entry, sequence }, detail);

const removed = (first: number, last: number, detail: string): Finding => ({
  sequence: first,
  id: null,
  problem: 'removed',
  detail: `${first === last ? `number ${first} is missing` : `numbers ${first} to ${last} are missing`}, ${detail}`,
});
