import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { fromId } from '../common/ids.js';
import { notFound } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { EndpointSeals } from '../endpoints/endpoint-seals.js';
import { publicKeyIn } from '../signing/secrets.js';
import { networksIn } from '../transport/egress-networks.js';
import type { EgressQuery, EgressShown } from './egress.schema.js';

/** What receivers may know of those who send to them: where from, and how to tell that it is they. */
@Injectable()
export class EgressService {
  private readonly addresses: string[];

  constructor(
    private readonly database: Database,
    private readonly seals: EndpointSeals,
    @Inject(SETTINGS_TOKEN) { EGRESS_ADDRESSES: addresses }: Settings,
  ) {
    this.addresses = networksIn(addresses ?? '');
  }

  /** @throws Problem `not_found` for an endpoint that the caller may not see */
  async get(caller: Caller, { endpoint }: EgressQuery): Promise<EgressShown> {
    const keys = endpoint === undefined ? [] : await this.keysOf(endpoint, caller.accountId);
    if (keys === null) throw notFound('endpoint');
    return { addresses: this.addresses, publicKeys: keys };
  }

  /**
   * For everybody. Endpoints are never listed here, and one that does not exist looks like one without public keys: who
   * does not know its id, which nobody can guess, learns nothing of any.
   */
  async publish({ endpoint }: EgressQuery): Promise<EgressShown> {
    const keys = endpoint === undefined ? null : await this.keysOf(endpoint, null);
    return { addresses: this.addresses, publicKeys: keys ?? [] };
  }

  /**
   * The public halves of what signs for an endpoint now, the newest first. That is no reading of its secrets, and is not
   * audited as one.
   *
   * @param accountId null for any
   * @returns null when there is no such endpoint
   */
  private async keysOf(
    endpoint: string,
    accountId: string | null,
  ): Promise<EgressShown['publicKeys'] | null> {
    const endpointId = fromId('endpoint', endpoint);
    if (endpointId === null) return null;
    const rows = await this.database.prepared<LiveRow>(
      'live_secrets',
      `SELECT s.id, s.sealed, s.expires_at FROM endpoint_secrets s JOIN endpoints e ON e.id = s.endpoint_id
        WHERE e.id = $1 AND ($2::uuid IS NULL OR e.account_id = $2) AND e.deleted_at IS NULL
          AND (s.expires_at IS NULL OR s.expires_at > now())
        ORDER BY s.id DESC`,
      [endpointId, accountId],
    );
    // Every endpoint has a secret.
    if (rows.length === 0) return null;
    return rows.flatMap(({ id, sealed, expires_at: expiresAt }) => {
      const publicKey = publicKeyIn(this.seals.openSecret(id, sealed));
      return publicKey === null ? [] : [{ publicKey, expiresAt: expiresAt?.toISOString() ?? null }];
    });
  }
}

interface LiveRow {
  id: string;
  sealed: Buffer;
  expires_at: Date | null;
}
