import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { AccountMode } from '../accounts/accounts.schema.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import { toId, uuidV7 } from '../common/ids.js';
import { type PriorityLevel, priorityOf } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import type { DeliverySummary } from '../deliveries/deliveries.schema.js';
import type { HeldReason } from '../deliveries/loader.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { rawData } from '../events/raw-data.js';
import { exampleOf, testTypeOf } from './example-of.js';
import type { TestEventBody } from './test-events.schema.js';

/** Events that somebody sends to one endpoint to see what becomes of them. */
@Injectable()
export class TestEventsService {
  constructor(
    private readonly database: Database,
    private readonly reconciler: Reconciler,
    private readonly audit: AuditService,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /**
   * Whatever the endpoint subscribes to, and beside the limits of publishing. It is a workflow from its first attempt, whose
   * trigger tells it from others.
   *
   * @param bodyText the body as it came, from which `data` is taken byte for byte
   * @throws Problem `not_found`, `payload_too_large`, `endpoint_disabled`, `endpoint_not_test`, `delivery_held`
   */
  async send(
    caller: Caller,
    accountId: string,
    endpointId: string,
    body: TestEventBody,
    bodyText: string,
  ): Promise<DeliverySummary> {
    const given = rawData(bodyText);
    if (given !== undefined) this.checkSize(given);
    const now = new Date();
    const [eventId, id] = [uuidV7(now.getTime()), uuidV7(now.getTime())];
    const sent = await this.database.transaction(async (client) => {
      const endpoint = await this.admit(client, accountId, endpointId);
      const type = body.type ?? testTypeOf(endpoint.event_types);
      const { version, data } =
        given === undefined ? await exampleOf(client, type) : { version: '1', data: given };
      await client.query(
        `INSERT INTO events (id, account_id, type, occurred_at, version, tags, data, matched, test)
          VALUES ($1, $2, $3, $4, $6, '{}', $5, 1, true)`,
        [eventId, accountId, type, now, data, version],
      );
      const { rows } = await client.query<{ priority: PriorityLevel }>(
        `INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status, priority, next_trigger,
           next_attempt_at, due_at, test, created_at)
          SELECT $1, $2, $3, $4, $5, 'pending', coalesce($6::smallint, max(y.priority), 3), 'test', now(), now(), true, $7
          FROM event_types y WHERE y.name = $5 RETURNING priority`,
        [id, accountId, eventId, endpointId, type, endpoint.priority, now],
      );
      await this.audit.record(client, caller, {
        accountId,
        action: 'endpoint.test',
        resourceId: toId('endpoint', endpointId),
        changes: changesBetween(null, { deliveryId: toId('delivery', id), eventType: type }),
      });
      return { type, priority: priorityOf(rows[0]?.priority ?? 3) };
    });
    this.reconciler.nudge();
    return {
      id: toId('delivery', id),
      accountId: toId('account', accountId),
      eventId: toId('event', eventId),
      eventType: sent.type,
      endpointId: toId('endpoint', endpointId),
      batchId: null,
      batch: null,
      priority: sent.priority,
      status: 'pending',
      statusReason: null,
      attemptCount: 0,
      nextAttemptAt: now.toISOString(),
      test: true,
      createdAt: now.toISOString(),
      completedAt: null,
    };
  }

  private async admit(client: pg.PoolClient, accountId: string, endpointId: string): Promise<TestedEndpoint> {
    const { rows } = await client.query<TestedEndpoint>(
      `SELECT e.event_types, e.priority, e.test, e.held_reason, e.disabled_reason, a.mode
        FROM endpoints e JOIN accounts a ON a.id = e.account_id
        WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL FOR SHARE OF e`,
      [endpointId, accountId],
    );
    const [endpoint] = rows;
    if (!endpoint) throw notFound('endpoint');
    if (endpoint.disabled_reason !== null)
      throw new Problem('endpoint_disabled', 'The endpoint is disabled.');
    if (endpoint.mode === 'test' && !endpoint.test)
      throw new Problem(
        'endpoint_not_test',
        'The account is in test mode, and the endpoint is not for tests.',
      );
    if (endpoint.held_reason === 'endpoint_paused')
      throw new Problem('delivery_held', 'The endpoint is paused.');
    if (endpoint.held_reason === 'endpoint_unverified')
      throw new Problem('delivery_held', 'The endpoint has still to be verified.');
    return endpoint;
  }

  private checkSize(data: string): void {
    const bytes = Buffer.byteLength(data);
    if (bytes <= this.settings.EVENT_BYTES) return;
    throw new Problem(
      'payload_too_large',
      `An event's data may have ${this.settings.EVENT_BYTES} bytes at most.`,
      { errors: [{ pointer: '/data', detail: `has ${bytes} bytes` }] },
    );
  }
}

interface TestedEndpoint {
  event_types: string[] | null;
  priority: PriorityLevel | null;
  test: boolean;
  held_reason: HeldReason | null;
  disabled_reason: string | null;
  mode: AccountMode;
}
