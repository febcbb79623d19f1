import { z } from 'zod';
import { fromId } from '../common/ids.js';
import type { Database } from '../database/database.js';
import { AuditChains, type ChainVerdict } from './audit-chains.js';
import type { Head } from './chain-check.js';

/** Heads that were kept outside the database, by the account's UUID, null for the operator. */
export type KeptHeads = ReadonlyMap<string | null, Head>;

export interface Verification {
  chains: number;
  /** That are right: in a chain with something wrong, those before it. */
  entries: number;
  /** Chains with something wrong. */
  wrong: number;
}

/**
 * Checks the chain of one account, or every chain, those too that only a kept head knows of.
 *
 * @param account UUID; undefined for all
 * @param tell is given each chain's verdict as soon as it is known
 */
export async function verifyAudit(
  database: Database,
  { account, kept }: { account: string | undefined; kept: KeptHeads },
  tell: (verdict: ChainVerdict) => void,
): Promise<Verification> {
  const chains = new AuditChains(database);
  const total: Verification = { chains: 0, entries: 0, wrong: 0 };
  const left = new Set(kept.keys());
  const check = async (each: string | null) => {
    left.delete(each);
    const verdict = await chains.check(each, kept.get(each));
    // Nothing was ever done there.
    if (!verdict.head && verdict.entries === 0 && !verdict.finding) return;
    total.chains += 1;
    total.entries += verdict.entries;
    if (verdict.finding) total.wrong += 1;
    tell(verdict);
  };
  if (account !== undefined) {
    await check(account);
    return total;
  }
  for await (const each of chains.all()) await check(each);
  for (const each of left) await check(each);
  return total;
}

/** A line of `posthorn audit verify --json`. */
export const verdictLine = ({ accountId, head, finding }: ChainVerdict): string =>
  JSON.stringify({
    accountId,
    sequence: head?.sequence ?? 0,
    hash: head?.hash ?? null,
    right: finding === null,
    ...(finding && { finding }),
  });

export const verdictText = ({ accountId, finding }: ChainVerdict): string | null =>
  finding &&
  `${accountId ?? 'operator'}: entry ${finding.sequence}${finding.id === null ? '' : ` (${finding.id})`} ${finding.problem}: ${finding.detail}`;

const keptHead = z.object({
  accountId: z.string().nullable(),
  sequence: z.int().min(0),
  hash: z.string().nullable(),
});

/**
 * Reads what {@link verdictLine} wrote.
 *
 * @throws Error naming the line that is no head
 */
export function readHeads(text: string): KeptHeads {
  const heads = new Map<string | null, Head>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const read = readHead(line);
    if (!read) throw new Error(`line ${index + 1} is not a line that \`audit verify --json\` prints`);
    heads.set(read.account, read.head);
  }
  return heads;
}

function readHead(line: string): { account: string | null; head: Head } | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const { success, data } = keptHead.safeParse(value);
  if (!success) return null;
  const account = data.accountId === null ? null : fromId('account', data.accountId);
  if (account === null && data.accountId !== null) return null;
  return { account, head: { sequence: data.sequence, hash: data.hash ?? '' } };
}
