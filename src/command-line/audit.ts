import { readFileSync } from 'node:fs';
import { readHeads, verdictLine, verdictText, verifyAudit } from '../audit/verify.js';
import { fromId } from '../common/ids.js';
import { say } from '../terminal.js';
import { parse, UsageError } from './usage.js';
import { withDatabase } from './with-database.js';

export async function audit([verb, ...args]: string[]): Promise<void> {
  if (verb !== 'verify') throw new UsageError('There is only `audit verify`.');
  const { values } = parse(args, {
    account: { type: 'string' },
    expect: { type: 'string' },
    json: { type: 'boolean' },
  });
  const kept = values.expect === undefined ? new Map<null, never>() : readKeptHeads(values.expect);
  const account = values.account === undefined ? undefined : fromId('account', values.account);
  if (account === null) throw new UsageError('`--account` must be an `acc_…` id.');
  await withDatabase(async (database) => {
    const { chains, entries, wrong } = await verifyAudit(database, { account, kept }, (verdict) => {
      const line = values.json === true ? verdictLine(verdict) : verdictText(verdict);
      if (line !== null) process.stdout.write(`${line}\n`);
    });
    if (wrong > 0) process.exitCode = 1;
    say(
      wrong === 0
        ? `All ${entries} entries of ${chains} chains are right.`
        : `${wrong} of ${chains} chains are wrong; ${entries} entries are right.`,
    );
  });
}

function readKeptHeads(file: string) {
  try {
    return readHeads(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`\`--expect ${file}\`: ${(error as Error).message}`);
  }
}
