import { AuditService } from '../audit/audit.service.js';
import { callerOfCli } from '../auth/cli-caller.js';
import { ALL_SCOPES, type Scope } from '../auth/scopes.js';
import { fromId } from '../common/ids.js';
import { DataFolder } from '../config/data-folder.js';
import { givenEncryptionKeys } from '../config/encryption-keys.js';
import { KeysService } from '../keys/keys.service.js';
import { KeyRing } from '../secrets/key-ring.js';
import { Reencryption } from '../secrets/reencryption.js';
import { say } from '../terminal.js';
import { parse, UsageError } from './usage.js';
import { withDatabase } from './with-database.js';

export function keys([verb, ...args]: string[]): Promise<void> {
  if (verb === 'create') return createKey(args);
  if (verb === 'reencrypt') return reencrypt(args);
  throw new UsageError('There are `keys create` and `keys reencrypt`.');
}

async function createKey(args: string[]): Promise<void> {
  const { values } = parse(args, {
    name: { type: 'string' },
    account: { type: 'string' },
    scopes: { type: 'string' },
    'expires-at': { type: 'string' },
  });
  if (values.name === undefined) throw new UsageError('`--name` is missing.');
  const accountId = values.account === undefined ? null : fromId('account', values.account);
  if (values.account !== undefined && accountId === null)
    throw new UsageError('`--account` must be an `acc_…` id.');
  const scopes = values.scopes?.split(',').map((scope) => scope.trim());
  const unknown = scopes?.filter((scope) => !(ALL_SCOPES as string[]).includes(scope)) ?? [];
  if (unknown.length > 0) {
    throw new UsageError(`There is no scope ${unknown.join(', ')}; there are ${ALL_SCOPES.join(', ')}.`);
  }
  const expiresAt = values['expires-at'];
  if (expiresAt !== undefined && !(Date.parse(expiresAt) > Date.now())) {
    throw new UsageError('`--expires-at` must be an RFC 3339 time in the future.');
  }
  await withDatabase(async (database, settings) => {
    const keys = new KeysService(database, new AuditService(database), settings);
    const created = await keys.create(callerOfCli(), accountId, {
      name: values.name ?? '',
      ...(scopes ? { scopes: scopes as Scope[] } : {}),
      ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
    });
    process.stdout.write(`${created.secret}\n`);
    say(`${created.id} (${created.accountId ?? 'operator'}): keep the key now, it is not shown again.`);
  });
}

/** Fails when something is left that no key of the ring opens. */
async function reencrypt(args: string[]): Promise<void> {
  parse(args, {});
  await withDatabase(async (database, settings) => {
    const ring =
      givenEncryptionKeys(settings) ??
      new DataFolder(settings.DATA_DIR).encryptionKeys(() => KeyRing.generate());
    const reencryption = new Reencryption(database, new KeyRing(ring));
    const { reencrypted, unreadable } = await reencryption.run();
    say(`Encrypted again: ${reencrypted}`);
    for (const [name, count] of await reencryption.valuesByKey()) say(`Held by key ${name}: ${count}`);
    for (const [why, count] of unreadable) say(`Left as they are: ${count}, since ${why}`);
    if (unreadable.size > 0) process.exitCode = 1;
  });
}
