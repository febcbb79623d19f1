import { noteArrivals } from '../batches/arrivals.js';
import { NIL_UUID } from '../common/ids.js';
import type { HotStatement } from '../database/database.js';
import { type EndpointJson, readEndpoints } from './made-deliveries.js';
import {
  askedBy,
  isExpress,
  makeDeliveries,
  MATCHING_COLUMNS,
  type MatchedRow,
  OFFERED_COLUMNS,
  passesFilter,
  statusUnderFilters,
  takesTests,
  takesType,
} from './new-deliveries.js';

/** Deliveries of one commit; the events with the most, that would take it past this, are matched page by page after it. */
const MAX_DELIVERIES_PER_COMMIT = 2_000;

export interface InsertedRow {
  id: string;
  /** True when nothing was written: the verdict on it is not of the current filters. */
  stale: boolean;
  /** False when it is stale, or the external id was taken already. */
  fresh: boolean;
  matched: number;
  /** True when its deliveries are made after the commit, page by page. */
  later: boolean;
  matches: MatchedRow[] | null;
  /** Whether some of its commit are for endpoints that collect. */
  collected: boolean;
  /** Of the first row: endpoints of all rows' matches that go by express, as many as are read. */
  endpoints: EndpointJson[] | null;
}

/**
 * External ids are claimed in one order, so that two batches never wait for each other. Events of one type of one
 * account match the same endpoints and are matched once; what filters say of each is in its bits. Filters and their
 * version are read in one snapshot: a verdict of the version that is current has asked those filters.
 */
export const HOT_PUBLISH: HotStatement = {
  name: 'publish',
  text: `
  WITH input AS (
    SELECT i.*, a.mode = 'test' AS test, a.filters_version <> coalesce(i.filters, 0) AS stale, a.filter_slots AS slots
    FROM json_to_recordset($1::json) AS i (id uuid, account_id uuid, external_id text, type text,
      occurred_at timestamptz, version text, tags text[], priority text, level smallint, data text,
      filters integer, takes bytea, broken bytea)
    JOIN accounts a ON a.id = i.account_id
  ), claimed AS (
    INSERT INTO event_external_ids (account_id, external_id, event_id)
    SELECT account_id, external_id, id FROM input WHERE external_id IS NOT NULL AND NOT stale ORDER BY account_id, external_id
    ON CONFLICT DO NOTHING RETURNING event_id
  ), fresh AS (
    SELECT * FROM input
    WHERE NOT stale AND (external_id IS NULL OR id IN (SELECT event_id FROM claimed))
  ), types AS MATERIALIZED (
    SELECT *, ${askedBy('type')} AS asked FROM (SELECT DISTINCT account_id, type, test FROM fresh) t
  ), matching AS MATERIALIZED (
    SELECT t.account_id, t.type, e.id AS endpoint_id, e.filter_slot, ${MATCHING_COLUMNS}
    FROM types t
    JOIN endpoints e ON e.account_id = t.account_id AND e.deleted_at IS NULL AND ${takesTests('t.test')}
      AND ${takesType('t.type', 't.asked')}
    LEFT JOIN event_types y ON y.name = t.type
  ), sized AS (
    SELECT account_id, type, count(*) FILTER (WHERE filter_slot IS NULL)::int AS unfiltered,
      max(endpoint_id::text)::uuid AS last
    FROM matching GROUP BY account_id, type
  ), sums AS (
    SELECT f.id, f.takes, f.broken, f.slots, s.last, s.unfiltered + coalesce(bit_count(f.takes), 0)::int AS made,
      coalesce(bit_count(f.broken), 0)::int AS failed
    FROM fresh f JOIN sized s USING (account_id, type)
  ), counted AS (
    SELECT *, made - failed AS matched,
      made > 0 AND sum(made) OVER (ORDER BY made, id) > ${MAX_DELIVERIES_PER_COMMIT} AS later
    FROM sums
  ), new_events AS (
    INSERT INTO events (id, account_id, external_id, type, occurred_at, version, tags, priority, data, matched, test)
    SELECT f.id, f.account_id, f.external_id, f.type, f.occurred_at, f.version,
      f.tags, f.priority, f.data, coalesce(c.matched, 0), f.test
    FROM fresh f LEFT JOIN counted c ON c.id = f.id
  ), new_fanouts AS (
    INSERT INTO fanouts (event_id, account_id, after, until, takes, broken, slots)
    SELECT c.id, f.account_id, '${NIL_UUID}', c.last, c.takes, c.broken, c.slots
    FROM counted c JOIN fresh f USING (id) WHERE c.later
  ), matches AS (
    SELECT posthorn_uuid_v7() AS id, f.id AS event_id, f.account_id, f.type, f.test, coalesce(f.level, m.level) AS level,
      m.endpoint_id, m.url, ${statusUnderFilters('m.status', 'f', 'm.filter_slot')} AS status, m.held_reason, m.lane
    FROM fresh f JOIN counted c ON c.id = f.id AND NOT c.later JOIN matching m USING (account_id, type)
    WHERE ${passesFilter('f', 'm.filter_slot')}
  ), made AS (
    ${makeDeliveries('matches', '$2', '$3', '$4')}
  ), arrived AS (
    ${noteArrivals('matches', 'JOIN fresh v ON v.id = m.event_id')}
  ), going AS (
    SELECT * FROM matches WHERE status = 'pending' AND $2::bigint IS NOT NULL
  ), offered AS (
    SELECT event_id, json_agg(json_build_array(${OFFERED_COLUMNS})) AS matches FROM going m GROUP BY event_id
  ), by_express AS (
    SELECT endpoint_id FROM going WHERE ${isExpress('$3', '$4')}
  )
  SELECT i.id, i.stale, f.id IS NOT NULL AS fresh, coalesce(c.matched, 0) AS matched, coalesce(c.later, false) AS later, o.matches,
    EXISTS (SELECT FROM arrived) AS collected,
    CASE WHEN row_number() OVER () = 1 THEN (${readEndpoints('by_express')}) END AS endpoints
  FROM input i LEFT JOIN fresh f ON f.id = i.id LEFT JOIN counted c ON c.id = i.id LEFT JOIN offered o ON o.event_id = i.id`,
  nothing: ['[]', null, 'durable', false],
};
