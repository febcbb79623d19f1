import { Injectable } from '@nestjs/common';
import type { Origin } from '../auth/caller.js';
import { CredentialChecks } from '../auth/credential-checks.js';
import { notFound, Problem } from '../common/problems.js';
import { ConvertedEvents } from '../conversions/converted-events.js';
import type { ToConvert } from '../conversions/converter.js';
import { Database } from '../database/database.js';
import { EVENT_COLUMNS, type EventRow, showWithData } from '../events/event-rows.js';
import { type FetchGrant, FetchLinks } from './fetch-links.js';

/** Hands out what a thin event stands for. */
@Injectable()
export class FetchService {
  constructor(
    private readonly database: Database,
    private readonly links: FetchLinks,
    private readonly checks: CredentialChecks,
    private readonly converted: ConvertedEvents,
  ) {}

  /**
   * The event that a token was made for. The first who asks uses the token up; one that is used is no guess.
   *
   * @param isLook whether the answer has no body, so that nothing is used up by it
   * @returns JSON text
   * @throws Problem `not_found` for a token that is not ours or whose event is gone, `fetch_token_used`,
   *   `too_many_failed_attempts`, `unavailable` where it cannot be converted now to the version that its endpoint pins
   */
  async fetch(origin: Origin, token: string, isLook: boolean): Promise<string> {
    const fetched = await this.checks.check(token, origin.ip, async () => {
      const grant = this.links.read(token);
      const row = grant && (await this.read(grant));
      if (!row) return null;
      // What cannot be converted now can be fetched later: only an answer uses the token up.
      const event = await this.converted.of(row);
      if (!isLook) await this.use(grant);
      return event;
    });
    if (!fetched) throw notFound('fetch token');
    return showWithData(fetched);
  }

  private async read({ deliveryId, issuedAtMs }: FetchGrant): Promise<FetchedRow | null> {
    const [row] = await this.database.prepared<FetchedRow & { used: boolean }>(
      'fetch_event',
      `SELECT ${EVENT_COLUMNS}, v.data, d.account_id, d.endpoint_id, v.id AS event_id,
         e.event_versions ->> v.type AS pinned_version,
         EXISTS (SELECT FROM used_fetch_tokens WHERE delivery_id = $1 AND issued_at = $2) AS used
        FROM deliveries d JOIN events v ON v.id = d.event_id JOIN endpoints e ON e.id = d.endpoint_id WHERE d.id = $1`,
      [deliveryId, issuedAtMs],
    );
    if (!row) return null;
    if (row.used) throw alreadyUsed();
    return row;
  }

  /** Of two that come at once, the second waits for the first and then finds the token used. */
  private async use({ deliveryId, issuedAtMs }: FetchGrant): Promise<void> {
    const used = await this.database.prepared(
      'use_fetch_token',
      `INSERT INTO used_fetch_tokens (delivery_id, issued_at) SELECT $1, $2 FROM deliveries WHERE id = $1
        ON CONFLICT DO NOTHING RETURNING 1`,
      [deliveryId, issuedAtMs],
    );
    if (used.length === 0) throw alreadyUsed();
  }
}

type FetchedRow = EventRow & ToConvert;

const alreadyUsed = () => new Problem('fetch_token_used', 'The event was fetched by this link before.');
