import { EndpointSeals } from '../../src/endpoints/endpoint-seals.js';
import { fromId, uuidV7 } from '../../src/common/ids.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import type { Account, System } from './system.js';

/** Makes so many endpoints of an account at once, told apart by the path of their URL: `/1` and so on. */
export async function makeEndpoints(
  system: System,
  account: Account,
  { count, url, timeoutMs = 15_000 }: { count: number; url: string; timeoutMs?: number },
): Promise<void> {
  const seals = new EndpointSeals(new KeyRing(system.encryptionKeys));
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  const endpoints = Array.from({ length: count }, () => uuidV7(Date.now())).sort();
  const secrets = endpoints.map(() => uuidV7(Date.now()));
  await system.sql(
    `INSERT INTO endpoints (id, account_id, url, timeout_ms, retry_schedule)
      SELECT id, $2, $3 || '/' || number, $4, '[]' FROM unnest($1::uuid[]) WITH ORDINALITY AS e (id, number)`,
    [endpoints, fromId('account', account.id), url, timeoutMs],
  );
  await system.sql(
    'INSERT INTO endpoint_secrets (id, endpoint_id, sealed) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])',
    [secrets, endpoints, secrets.map((id) => seals.sealSecret(id, secret))],
  );
}
