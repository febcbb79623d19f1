import { Inject, Injectable } from '@nestjs/common';
import { classifyAnswer } from '../../workflows/outcomes.js';
import { parseUrl } from '../common/parse-url.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { AskRoom } from '../endpoints/ask-room.js';
import { Database } from '../database/database.js';
import {
  EndpointSender,
  LIVE_SECRETS,
  REACHABLE_COLUMNS,
  type ReachableEndpoint,
} from '../endpoints/endpoint-sender.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { forgetReservations } from '../pacing/forget-reservations.js';
import { joinPlan, planFrom, type PlanRow } from '../plans/plan-of-account.js';
import { healthPolicyOf } from './health-policy.js';
import { DISABLED } from './health-record.js';

/** A receiver that has not come back by then is not expected to. */
const FOR_MS = 30 * 24 * 3_600_000;

interface DisabledEndpoint extends ReachableEndpoint, PlanRow {
  account_id: string;
  disabled_at: Date;
  probed_at: Date | null;
  now: Date;
}

/** Asks endpoints that were disabled for failing whether they are back, and enables those that say so. */
@Injectable()
export class Reenabling {
  constructor(
    private readonly database: Database,
    private readonly sender: EndpointSender,
    private readonly room: AskRoom,
    private readonly notifications: NotificationsService,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /**
   * Sends a ping where it is time for one.
   *
   * @param endpointId UUID
   * @returns milliseconds until it is time; null when the endpoint is asked no more
   */
  async look(endpointId: string): Promise<number | null> {
    const endpoint = await this.load(endpointId);
    if (!endpoint) return null;
    const { limits } = planFrom(endpoint, this.settings.DEFAULT_PLAN);
    const { reenableProbeMs: everyMs } = healthPolicyOf(this.settings, limits);
    const nowMs = endpoint.now.getTime();
    if (everyMs === 0 || nowMs >= endpoint.disabled_at.getTime() + FOR_MS) {
      await this.forget(endpointId);
      return null;
    }
    const waitMs = (endpoint.probed_at ?? endpoint.disabled_at).getTime() + everyMs - nowMs;
    if (waitMs > 0) return this.wait(endpointId, waitMs);
    const result = await this.room.ask(endpoint.account_id, () => this.sender.ask(endpoint, 'ping', {}));
    if (typeof result === 'number') return this.wait(endpointId, result);
    const outcome = result.ok ? classifyAnswer(result.response, nowMs).outcome : result.failure.kind;
    if (outcome === 'delivered') return this.enable(endpoint);
    if (outcome === 'gone') return this.giveUp(endpointId);
    await this.database.prepared(
      'disabled_probed',
      `UPDATE endpoint_health SET probed_at = now() WHERE endpoint_id = $1 AND state = '${DISABLED}'`,
      [endpointId],
    );
    return this.wait(endpointId, everyMs);
  }

  private async load(endpointId: string): Promise<DisabledEndpoint | undefined> {
    const [row] = await this.database.prepared<DisabledEndpoint>(
      'load_disabled',
      `SELECT ${REACHABLE_COLUMNS}, s.secrets, e.account_id, plan.name, plan.limits,
         h.state_since AS disabled_at, h.probed_at, now() AS now
        FROM endpoints e JOIN endpoint_health h ON h.endpoint_id = e.id AND h.state = '${DISABLED}'
        JOIN accounts a ON a.id = e.account_id ${joinPlan('$2')} CROSS JOIN ${LIVE_SECRETS}
        WHERE e.id = $1 AND e.disabled_reason = 'failing' AND e.deleted_at IS NULL AND NOT e.paused`,
      [endpointId, this.settings.DEFAULT_PLAN],
    );
    return row;
  }

  private async wait(endpointId: string, ms: number): Promise<number> {
    await this.database.prepared(
      'disabled_waits',
      `UPDATE endpoint_health SET review_at = now() + $2 * interval '1 ms' WHERE endpoint_id = $1`,
      [endpointId, ms],
    );
    return ms;
  }

  /** Where it was changed or enabled meanwhile, the ping says nothing. */
  private async enable({ endpoint_id: id, account_id: accountId, url }: DisabledEndpoint): Promise<null> {
    const isEnabled = await this.database.transaction(async (client) => {
      const enabled = await client.query(
        `UPDATE endpoints SET disabled_reason = NULL, updated_at = now()
          WHERE id = $1 AND url = $2 AND disabled_reason = 'failing' AND deleted_at IS NULL`,
        [id, url],
      );
      if (enabled.rowCount === 0) return false;
      await client.query('DELETE FROM endpoint_health WHERE endpoint_id = $1', [id]);
      await forgetReservations(client, id);
      await this.notifications.add(client, {
        accountId,
        endpointId: id,
        kind: 'endpoint.reenabled',
        data: { endpointOrigin: parseUrl(url)?.origin ?? null },
      });
      return true;
    });
    if (isEnabled) await this.notifications.wake(accountId);
    return null;
  }

  private async giveUp(endpointId: string): Promise<null> {
    await this.database.query(
      `UPDATE endpoints SET disabled_reason = 'gone', updated_at = now()
        WHERE id = $1 AND disabled_reason = 'failing'`,
      [endpointId],
    );
    await this.forget(endpointId);
    return null;
  }

  private async forget(endpointId: string): Promise<void> {
    await this.database.query('DELETE FROM endpoint_health WHERE endpoint_id = $1', [endpointId]);
  }
}
