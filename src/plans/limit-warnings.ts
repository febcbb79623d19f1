import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { Database } from '../database/database.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import type { Plan } from './plan.js';
import type { LimitName } from './plans.schema.js';

/** Share of a limit from which the account is told. */
const NEAR = 0.8;

export const isNear = (used: number, allowed: number): boolean => used >= NEAR * allowed;

export interface Nearness {
  accountId: string;
  plan: Plan;
  limit: Extract<LimitName, 'endpoints' | 'eventsPerDay'>;
  used: number;
  allowed: number;
}

/** Tells accounts that they come near a limit: once for each limit and day of UTC, whichever process sees it. */
@Injectable()
export class LimitWarnings {
  constructor(
    private readonly database: Database,
    private readonly notifications: NotificationsService,
  ) {}

  async warn(nearness: Nearness): Promise<void> {
    const added = await this.database.transaction((client) => this.add(client, nearness));
    if (added) await this.wake(nearness.accountId);
  }

  /** Part of the transaction that makes it true; {@link wake} when that is committed. @returns whether it is news */
  async add(client: pg.PoolClient, { accountId, plan, limit, used, allowed }: Nearness): Promise<boolean> {
    const first = await client.query(
      `INSERT INTO limit_warnings (account_id, limit_name, day) VALUES ($1, $2, (now() AT TIME ZONE 'UTC')::date)
        ON CONFLICT DO NOTHING`,
      [accountId, limit],
    );
    if (first.rowCount === 0) return false;
    await this.notifications.add(client, {
      accountId,
      endpointId: null,
      kind: 'account.limit_near',
      data: { limit, plan: plan.name, used, allowed },
    });
    return true;
  }

  async wake(accountId: string): Promise<void> {
    await this.notifications.wake(accountId);
  }
}
