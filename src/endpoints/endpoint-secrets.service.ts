import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { AuditService } from '../audit/audit.service.js';
import type { Caller } from '../auth/caller.js';
import { toId, UuidV7Sequence } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { SCHEMES, type Signing, type SigningSchemeName, STANDARD } from '../signing/schemes.js';
import { EndpointWatches } from '../temporal/endpoint-watches.js';
import { generateSigningSecret, InvalidSigningSecretError, publicKeyIn } from '../signing/secrets.js';
import { MASK } from './custom-headers.js';
import { EndpointSeals } from './endpoint-seals.js';
import type { RotateSecretBody, SecretShown } from './endpoints.schema.js';

const MAX_LIVE_SECRETS = 10;

/** What deliveries to an endpoint are signed with. */
@Injectable()
export class EndpointSecretsService {
  private readonly ids = new UuidV7Sequence();

  constructor(
    private readonly database: Database,
    private readonly seals: EndpointSeals,
    private readonly audit: AuditService,
    private readonly watches: EndpointWatches,
  ) {}

  async read(caller: Caller, accountId: string, endpointId: string): Promise<SecretShown> {
    return this.database.transaction(async (client) => {
      const { rows } = await client.query<SecretRow>(
        `SELECT s.id, s.sealed FROM endpoint_secrets s JOIN endpoints e ON e.id = s.endpoint_id
          WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL AND s.expires_at IS NULL ORDER BY s.id DESC`,
        [endpointId, accountId],
      );
      if (rows.length === 0) throw notFound('endpoint');
      const secrets = showSecrets(this.open(rows));
      await this.audit.record(client, caller, {
        accountId,
        action: 'secret.read',
        resourceId: toId('endpoint', endpointId),
        changes: {},
      });
      return secrets;
    });
  }

  /** The old ones go on signing beside the new ones for the overlap, so that the receiver may change in its own time. */
  async rotate(
    caller: Caller,
    accountId: string,
    endpointId: string,
    body: RotateSecretBody,
  ): Promise<SecretShown> {
    const shown = await this.database.transaction(async (client) => {
      const locked = await client.query<{ signing: Signing | null }>(
        'SELECT signing FROM endpoints WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE',
        [endpointId, accountId],
      );
      const [endpoint] = locked.rows;
      if (!endpoint) throw notFound('endpoint');
      const { scheme } = endpoint.signing ?? STANDARD;
      const secrets = newSecrets(scheme, {
        own: body.secret,
        pointer: '/secret',
        versions: body.signingVersions ?? (await this.currentVersions(client, endpointId)),
      });
      // Secrets of earlier rotations end no later than this one's: after an overlap of 0 nothing but the new one signs.
      await client.query(
        `UPDATE endpoint_secrets SET expires_at = least(expires_at, now() + make_interval(secs => $2))
          WHERE endpoint_id = $1`,
        [endpointId, body.overlapSeconds],
      );
      await client.query('DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND expires_at <= now()', [
        endpointId,
      ]);
      const live = await client.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM endpoint_secrets WHERE endpoint_id = $1',
        [endpointId],
      );
      if ((live.rows[0]?.count ?? 0) + secrets.length > MAX_LIVE_SECRETS) {
        throw new Problem(
          'validation_failed',
          `The endpoint would have more than ${MAX_LIVE_SECRETS} live secrets; give a shorter \`overlapSeconds\`.`,
          { errors: [{ pointer: '/overlapSeconds', detail: 'too many earlier secrets still sign' }] },
        );
      }
      await this.insert(client, endpointId, secrets);
      await this.audit.record(client, caller, {
        accountId,
        action: 'secret.rotate',
        resourceId: toId('endpoint', endpointId),
        changes: {
          signingSecret: { from: MASK, to: MASK },
          overlapSeconds: { from: null, to: body.overlapSeconds },
        },
      });
      return showSecrets(secrets);
    });
    if (body.overlapSeconds > 0) await this.watches.wake('credentials', endpointId);
    return shown;
  }

  /** @param secrets the first one the newest */
  async insert(client: pg.PoolClient, endpointId: string, secrets: readonly string[]): Promise<void> {
    for (const secret of secrets.toReversed()) {
      const id = this.ids.next(Date.now());
      await client.query('INSERT INTO endpoint_secrets (id, endpoint_id, sealed) VALUES ($1, $2, $3)', [
        id,
        endpointId,
        this.seals.sealSecret(id, secret),
      ]);
    }
  }

  /**
   * An attempt signs with all that are live, those of earlier rotations too.
   *
   * @throws Problem `signing_secret_invalid` when one of them cannot sign by this scheme
   */
  async checkAllFit(client: pg.PoolClient, endpointId: string, scheme: SigningSchemeName): Promise<void> {
    const { rows } = await client.query<SecretRow>(
      'SELECT id, sealed FROM endpoint_secrets WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > now())',
      [endpointId],
    );
    for (const secret of this.open(rows)) checkFits(scheme, secret, '/signing/scheme');
  }

  /** Those of the current secrets. A text that signs by another scheme is followed by a `v1` secret: that can do both. */
  private async currentVersions(client: pg.PoolClient, endpointId: string): Promise<('v1' | 'v1a')[]> {
    const { rows } = await client.query<SecretRow>(
      'SELECT id, sealed FROM endpoint_secrets WHERE endpoint_id = $1 AND expires_at IS NULL ORDER BY id DESC',
      [endpointId],
    );
    return this.open(rows).map((secret) => (publicKeyIn(secret) === null ? 'v1' : 'v1a'));
  }

  private open(rows: readonly SecretRow[]): string[] {
    return rows.map(({ id, sealed }) => this.seals.openSecret(id, sealed));
  }
}

interface SecretRow {
  id: string;
  sealed: Buffer;
}

/**
 * One of its owner's, or a new one of each version.
 *
 * @throws Problem `signing_secret_invalid` when it cannot sign by this scheme
 */
export function newSecrets(
  scheme: SigningSchemeName,
  {
    own,
    pointer,
    versions,
  }: { own: string | undefined; pointer: string; versions: readonly ('v1' | 'v1a')[] },
): string[] {
  const secrets = own === undefined ? versions.map((version) => generateSigningSecret(version)) : [own];
  for (const secret of secrets) checkFits(scheme, secret, own === undefined ? '/signingVersions' : pointer);
  return secrets;
}

/** @param texts at least one, the newest first */
export function showSecrets(texts: readonly string[]): SecretShown {
  const secrets = texts.map((secret) => ({ secret, publicKey: publicKeyIn(secret) }));
  const [current] = secrets;
  if (!current) throw new Error('an endpoint has no signing secret');
  return { ...current, secrets };
}

function checkFits(scheme: SigningSchemeName, secret: string, pointer: string): void {
  try {
    SCHEMES[scheme].parse(secret);
  } catch (error) {
    if (!(error instanceof InvalidSigningSecretError)) throw error;
    throw new Problem('signing_secret_invalid', error.message, {
      errors: [{ pointer, detail: error.message }],
    });
  }
}
