import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Rounds } from '../common/rounds.js';
import { Database } from '../database/database.js';
import { takeEach } from '../database/steps.js';
import { LOGGER } from '../logging/logger.js';
import { Dispatcher } from './dispatcher.js';
import { Intake } from './intake.js';
import { AHEAD, UNTRIED } from './untried.js';

const LOOK_EVERY_MS = 1_000;
/** How soon again while much comes back. */
const LOOK_APART_MS = 200;
const MUCH = 50;
/** Deliveries of one statement, and statements of one look. */
const PAGE = 5_000;
const PAGES = 4;
/** Endpoints of one look. */
const MAX_ENDPOINTS = 1_000;
/** What needs a workflow and has been due for so long while this process could not reach Temporal is wanted by no other either. */
const UNWANTED_SECONDS = 30;
const FIRST_ENDPOINT = '00000000-0000-0000-0000-000000000000';

/**
 * Puts by what no process has room for: whoever looks for what is due would else look past all of it each time, a million
 * deliveries of one rate-limited endpoint every second. It comes back by and by, as what this process has of their
 * endpoints goes.
 */
@Injectable()
export class Overflow {
  private readonly rounds = new Rounds(() => this.look(), LOOK_EVERY_MS, LOOK_APART_MS);
  private after = FIRST_ENDPOINT;

  constructor(
    private readonly database: Database,
    private readonly dispatcher: Dispatcher,
    private readonly intake: Intake,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.rounds.open();
  }

  close(): Promise<void> {
    return this.rounds.close();
  }

  private look(): Promise<void> {
    const steps = [() => this.putBy(), () => this.bringBack()];
    return takeEach(steps, this.logger, 'deliveries could not be put by or brought back');
  }

  private async putBy(): Promise<void> {
    for (let page = 0; page < PAGES && !this.rounds.closed; page += 1) {
      const { waitingRoom, isCutOff } = this.dispatcher;
      const { endpoints, accounts } = waitingRoom.full;
      if (endpoints.length + accounts.length === 0 && !isCutOff) return;
      const put = await this.database.prepared('put_by', PUT_BY, [endpoints, accounts, PAGE, isCutOff]);
      if (put.length < PAGE) return;
    }
  }

  private async bringBack(): Promise<void> {
    const { which, overflowing, bringBack } = this.dispatcher.isCutOff ? EXPRESS : ALL;
    const owners = await this.database.prepared<OwnerRow>(`overflowing_${which}`, overflowing, [
      this.after,
      MAX_ENDPOINTS,
    ]);
    const last = owners.length === MAX_ENDPOINTS ? owners.at(-1) : undefined;
    this.after = last?.endpoint_id ?? FIRST_ENDPOINT;
    const counts = this.shares(owners);
    if (counts.size === 0) return;
    const back = await this.database.prepared(`bring_back_${which}`, bringBack, [
      [...counts.keys()],
      [...counts.values()],
    ]);
    this.intake.nudge();
    if (back.length >= MUCH) this.rounds.nudge();
  }

  /** How many each endpoint gets of the room there is: accounts alike, and the endpoints of one alike. */
  private shares(owners: OwnerRow[]): Map<string, number> {
    const { holder, waitingRoom } = this.dispatcher;
    const counts = new Map<string, number>();
    if (holder === null) return counts;
    const rooms = owners
      .map(({ endpoint_id: endpointId, account_id: accountId }) => ({ endpointId, accountId }))
      .map((whose) => ({ ...whose, room: waitingRoom.roomFor(whose) }))
      .filter(({ room }) => room > 0);
    const ofAccount = new Map<string, number>();
    for (const { accountId } of rooms) ofAccount.set(accountId, (ofAccount.get(accountId) ?? 0) + 1);
    const spare = Math.min(PAGE, waitingRoom.spare) / ofAccount.size;
    for (const { endpointId, accountId, room } of rooms)
      counts.set(endpointId, Math.min(room, Math.ceil(spare / (ofAccount.get(accountId) ?? 1))));
    return counts;
  }
}

interface OwnerRow {
  endpoint_id: string;
  account_id: string;
}

/** In the order of the index of what is due, whatever the planner thinks of endpoints and accounts: hence the IS TRUE. */
const PUT_BY = `
  WITH chosen AS (
    SELECT id FROM deliveries d
    WHERE d.due_at <= now() AND ${UNTRIED} AND NOT ${AHEAD}
      AND (d.endpoint_id = ANY ($1::uuid[]) OR d.account_id = ANY ($2::uuid[])
        OR $4 AND NOT d.express AND d.due_at < now() - interval '${UNWANTED_SECONDS} seconds') IS TRUE
      AND NOT EXISTS (SELECT FROM leases l WHERE l.id = d.lease AND l.expires_at > now())
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
  )
  UPDATE deliveries d SET due_at = NULL, lease = NULL FROM chosen c WHERE d.id = c.id RETURNING d.id`;

/**
 * Statements that find what was put by and bring it back.
 *
 * @param which part of their names
 * @param condition of the rows, for which there is an index
 */
const statementsFor = (which: string, condition: string) => ({
  which,
  /** From endpoint to endpoint, whatever waits for each. */
  overflowing: `
  WITH RECURSIVE owners AS (
    (SELECT endpoint_id, account_id FROM deliveries WHERE ${condition} AND endpoint_id > $1
      ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT next.* FROM owners o, LATERAL (
      SELECT endpoint_id, account_id FROM deliveries WHERE ${condition} AND endpoint_id > o.endpoint_id
      ORDER BY endpoint_id LIMIT 1) next
  )
  SELECT * FROM owners LIMIT $2`,
  /** What was published first comes back first. */
  bringBack: `
  WITH chosen AS (
    SELECT d.id FROM unnest($1::uuid[], $2::int[]) AS w (endpoint_id, count), LATERAL (
      SELECT id FROM deliveries WHERE ${condition} AND endpoint_id = w.endpoint_id
      ORDER BY id LIMIT w.count FOR UPDATE SKIP LOCKED) d
  )
  UPDATE deliveries d SET due_at = now() FROM chosen c WHERE d.id = c.id RETURNING d.id`,
});
const ALL = statementsFor('all', `status = 'pending' AND due_at IS NULL`);
/** While Temporal is away: what needs a workflow may be most of it, and stays where it is. */
const EXPRESS = statementsFor('express', `status = 'pending' AND due_at IS NULL AND express`);
