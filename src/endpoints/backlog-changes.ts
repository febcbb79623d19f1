import type pg from 'pg';
import { NIL_UUID } from '../common/ids.js';
import type { HeldReason } from '../deliveries/loader.js';
import { IN_HAND_SECONDS } from '../dispatch/process-lease.js';

/**
 * What the open deliveries of an endpoint follow: `state`, whether it is held, disabled or deleted; `pace`, the limit of its
 * rate; `transformation`, and a `conversion` of an event type, by which those that failed are tried anew.
 */
export type BacklogChange = 'state' | 'pace' | 'transformation' | `conversion:${string}`;

const CONVERSION = 'conversion:';

/** Open deliveries of one status that one transaction looks at, so that nobody's outcome waits long for its locks. */
const PAGE = 1_000;
/** Events after which it takes no further delivery: batches may carry a thousand each, which end with them. */
const MAX_EVENTS = 10_000;

/** The open deliveries of an endpoint follow what this transaction makes of it: `Backlog.follow` is to be called after its commit. */
export async function changeBacklog(
  client: pg.PoolClient,
  endpointId: string,
  change: BacklogChange,
): Promise<void> {
  await client.query(`${CHANGE_BACKLOG} SELECT $1::uuid, ARRAY[$2] ${FROM_THE_START}`, [endpointId, change]);
}

const CHANGE_BACKLOG = 'INSERT INTO backlog_changes AS b (endpoint_id, kinds)';
const FROM_THE_START = `ON CONFLICT (endpoint_id) DO UPDATE SET status = DEFAULT, after = DEFAULT,
  kinds = CASE WHEN b.kinds @> excluded.kinds THEN b.kinds ELSE b.kinds || excluded.kinds END`;

/** {@link changeBacklog} of each `id` of `source`. @param change a {@link BacklogChange}, in SQL */
export const changeBacklogsOf = (change: string, source: string): string =>
  `${CHANGE_BACKLOG} SELECT id, ARRAY[${change}] FROM ${source} ${FROM_THE_START}`;

interface ChangeRow {
  kinds: BacklogChange[];
  status: OpenStatus;
  after: string;
}

interface EndpointState {
  account_id: string;
  held_reason: HeldReason | null;
  disabled: boolean;
  deleted: boolean;
}

/** In the order in which they are looked at: what is held has been one of the others, and not the other way round. */
const OPEN = ['pending', 'retrying', 'held'] as const;
type OpenStatus = (typeof OPEN)[number];

/**
 * Has a page of them follow, in one transaction.
 *
 * @param wait whether to wait for another process that is at it, and not leave it to that
 * @returns `done` where it was the last one, `none` where there was nothing to be done
 */
export async function followPage(
  client: pg.PoolClient,
  endpointId: string,
  wait: boolean,
): Promise<'more' | 'done' | 'none'> {
  // Whoever changes the endpoint once more waits for this lock with its commit, so what is read behind it is what counts.
  const changes = await client.query<ChangeRow>(
    `SELECT kinds, status, after FROM backlog_changes WHERE endpoint_id = $1 FOR UPDATE ${wait ? '' : 'SKIP LOCKED'}`,
    [endpointId],
  );
  const [change] = changes.rows;
  if (!change) return 'none';
  const endpoints = await client.query<EndpointState>(
    `SELECT account_id, held_reason, disabled_reason IS NOT NULL AS disabled, deleted_at IS NOT NULL AS deleted
      FROM endpoints WHERE id = $1`,
    [endpointId],
  );
  const [endpoint] = endpoints.rows;
  if (!endpoint) throw new Error('an endpoint is gone, and what its deliveries follow is not');
  const steps = stepsFor(change.kinds, endpoint);
  let { after } = change;
  for (const status of OPEN.slice(OPEN.indexOf(change.status))) {
    const due = steps.filter(({ of }) => of.includes(status));
    if (due.length > 0) {
      const page = await read(client, endpointId, { accountId: endpoint.account_id, status, after });
      if (page.own.length > 0) {
        await lock(client, page.own);
        for (const { statement, values = [] } of due)
          await client.query(statement, [page.own, endpointId, ...values]);
      }
      if (page.more) {
        await client.query('UPDATE backlog_changes SET status = $2, after = $3 WHERE endpoint_id = $1', [
          endpointId,
          status,
          page.last,
        ]);
        return 'more';
      }
    }
    after = NIL_UUID;
  }
  await client.query('DELETE FROM backlog_changes WHERE endpoint_id = $1', [endpointId]);
  return 'done';
}

interface Page {
  /** Of those that were looked at. */
  last: string | null;
  more: boolean;
  own: string[];
}

/**
 * Those that have been tried are found by their endpoint. The others are the account's: among all that an endpoint ever had
 * they would be found as slowly, and an index of them would cost every delivery something.
 */
async function read(
  client: pg.PoolClient,
  endpointId: string,
  { accountId, status, after }: { accountId: string; status: OpenStatus; after: string },
): Promise<Page> {
  const whose = status === 'pending' ? 'account_id = $1' : 'endpoint_id = $2';
  const { rows } = await client.query<Page>(
    // The status is written out, so that partial indexes can be used.
    `WITH page AS MATERIALIZED (
       SELECT id, event_id, endpoint_id FROM deliveries
       WHERE ${whose} AND account_id = $1 AND status = '${status}' AND id > $3 ORDER BY id LIMIT ${PAGE}
     ), weighed AS (
       SELECT p.id, p.endpoint_id, sum(w.weight) OVER (ORDER BY p.id) - w.weight AS before
       FROM page p LEFT JOIN batches b ON b.id = p.id AND p.event_id = p.id
       CROSS JOIN LATERAL (SELECT CASE WHEN p.endpoint_id = $2 THEN coalesce(b.events, 1) ELSE 0 END AS weight) w
     ), taken AS (
       SELECT id, endpoint_id FROM weighed WHERE before < ${MAX_EVENTS}
     )
     SELECT (SELECT id FROM taken ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM page) = ${PAGE}
         OR (SELECT count(*) FROM taken) < (SELECT count(*) FROM page) AS more,
       ARRAY (SELECT id FROM taken WHERE endpoint_id = $2) AS own`,
    [accountId, endpointId, after],
  );
  const [page] = rows;
  if (!page) throw new Error('a statement without FROM has one row');
  return page;
}

/** In the one order in which attempts are recorded, so that neither waits for the other. */
async function lock(client: pg.PoolClient, ids: string[]): Promise<void> {
  await client.query(
    `SELECT count(*) FROM (SELECT FROM deliveries WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE) locked`,
    [ids],
  );
}

/** A statement for deliveries in some statuses: $1 has their ids, $2 that of their endpoint. */
interface Step {
  of: readonly OpenStatus[];
  statement: string;
  /** Those after $2. */
  values?: string[];
}

function stepsFor(kinds: BacklogChange[], endpoint: EndpointState): Step[] {
  const conversions = kinds.flatMap((kind) =>
    kind.startsWith(CONVERSION) ? [kind.slice(CONVERSION.length)] : [],
  );
  return [
    ...(kinds.includes('state') ? stepsForState(endpoint) : []),
    ...(kinds.includes('transformation')
      ? [{ of: ['retrying', 'held'], statement: TRANSFORM_AGAIN } as const]
      : []),
    ...conversions.map((type): Step => ({
      of: ['retrying', 'held'],
      statement: CONVERT_AGAIN,
      values: [type],
    })),
    ...(kinds.includes('pace') ? [{ of: OPEN, statement: PACE_AGAIN } as const] : []),
  ];
}

function stepsForState({ deleted, disabled, held_reason: reason }: EndpointState): Step[] {
  if (deleted) return [{ of: OPEN, statement: end('cancelled', 'endpoint_deleted') }];
  if (disabled) return [{ of: OPEN, statement: end('skipped', 'endpoint_disabled') }];
  if (reason === null) return [{ of: ['held'], statement: RELEASE }];
  const tellWhy: Step = { of: ['held'], statement: TELL_WHY };
  // What waits is not told when a circuit opens: each finds out when its time comes, and waits then at no cost.
  return reason === 'circuit_open' ? [tellWhy] : [{ of: ['pending', 'retrying'], statement: HOLD }, tellWhy];
}

/** One that goes by express has no workflow to be told, and is out of the way of those who look for what is due. */
const end = (status: 'cancelled' | 'skipped', reason: string): string => `
  UPDATE deliveries SET status = '${status}', status_reason = '${reason}', next_attempt_at = NULL, completed_at = now(),
    tell = CASE WHEN express THEN NULL ELSE 'cancel' END, due_at = CASE WHEN express THEN NULL ELSE now() END, lease = NULL
  WHERE id = ANY ($1::uuid[]) AND endpoint_id = $2 AND status IN ('pending', 'retrying', 'held')`;

const REASON = '(SELECT held_reason FROM endpoints WHERE id = $2)';

/** What its workflow was still to be told is not forgotten: it is told it once it is held no more. */
export const TOLD_LATER = `tell_next = CASE WHEN d.tell IN ('pace', 'retry') THEN d.tell ELSE d.tell_next END`;

/** Why the last attempt at `deliveries d` sent nothing, where the endpoint's own wishes were the reason. */
const FAILED_BEFORE = `(SELECT a.error_code FROM attempts a
  WHERE a.delivery_id = d.id AND a.number = d.attempt_count AND a.outcome = 'transform')`;

/** Has `deliveries d` tried again at once: those that are held, once they are held no more. */
export const RETRY_AT_ONCE = `
  tell = CASE d.status WHEN 'held' THEN d.tell ELSE 'retry' END,
  tell_next = CASE d.status WHEN 'held' THEN 'retry' END,
  next_attempt_at = CASE d.status WHEN 'held' THEN d.next_attempt_at ELSE now() END,
  due_at = CASE d.status WHEN 'held' THEN d.due_at ELSE now() END`;

/**
 * An express delivery has no workflow that could be told: holding it means not looking at it. The process that has it in
 * hand keeps it, since its attempt may be under way: it gives it up when it sees the pause.
 */
const HOLD = `
  UPDATE deliveries d SET status = 'held', status_reason = ${REASON}, lease = CASE WHEN express THEN lease END,
    due_at = CASE WHEN express THEN NULL ELSE now() END, tell = CASE WHEN express THEN NULL ELSE 'hold' END, ${TOLD_LATER}
  WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'retrying')`;

const TELL_WHY = `
  UPDATE deliveries SET status_reason = ${REASON}
  WHERE id = ANY ($1::uuid[]) AND status = 'held' AND status_reason IS DISTINCT FROM ${REASON}`;

/** What a living process still has in hand it sends itself. */
const RELEASE = `
  UPDATE deliveries d SET status = CASE WHEN d.attempt_count > d.budget_start THEN 'retrying' ELSE 'pending' END,
    status_reason = CASE WHEN d.attempt_count > d.budget_start THEN ${FAILED_BEFORE} END,
    tell = CASE WHEN d.express THEN NULL ELSE 'release' END, ${TOLD_LATER},
    lease = CASE WHEN d.lease = ANY (leases.living) THEN d.lease END,
    due_at = now() + CASE WHEN d.lease = ANY (leases.living) THEN ${IN_HAND_SECONDS} ELSE 0 END * interval '1 second'
  FROM (SELECT array_agg(id) AS living FROM leases WHERE expires_at > now()) leases
  WHERE d.id = ANY ($1::uuid[]) AND d.endpoint_id = $2 AND d.status = 'held'`;

/** Tries at once what waits because nothing could be made of its event; what is held, once it is held no more. */
const retryWhatFailedBy = (code: 'transform_error' | 'conversion_error'): string => `
  UPDATE deliveries d SET ${RETRY_AT_ONCE}
  WHERE d.id = ANY ($1::uuid[]) AND d.endpoint_id = $2 AND NOT d.express
    AND (d.status = 'retrying' AND d.status_reason = '${code}' OR d.status = 'held' AND ${FAILED_BEFORE} = '${code}')`;

const TRANSFORM_AGAIN = retryWhatFailedBy('transform_error');

const CONVERT_AGAIN = `${retryWhatFailedBy('conversion_error')} AND d.event_type = $3`;

/** Whatever waits for its turn asks again: at once, or after what its workflow is to be told before. */
const PACE_AGAIN = `
  UPDATE deliveries d SET tell = CASE d.status WHEN 'held' THEN d.tell ELSE coalesce(d.tell, 'pace') END,
    tell_next = CASE WHEN d.status = 'held' OR d.tell = 'release' THEN coalesce(d.tell_next, 'pace') ELSE d.tell_next END,
    due_at = CASE d.status WHEN 'held' THEN d.due_at ELSE now() END
  WHERE d.id = ANY ($1::uuid[]) AND d.endpoint_id = $2 AND d.paced
    AND (d.status = 'held' OR d.status IN ('pending', 'retrying') AND (d.tell IS NULL OR d.tell IN ('pace', 'release')))`;
