/** Seconds of one row of `endpoint_stats` while it is fresh; a day later those of an hour become one. */
const FRESH_SECONDS = 300;

/** Adds the counts of one process, as a JSON array of `{endpoint_id, attempts, delivered, durations}`. */
export const ADD_STATS = `
  INSERT INTO endpoint_stats AS s (endpoint_id, starts_at, attempts, delivered, durations)
  SELECT i.endpoint_id, to_timestamp(floor(extract(epoch FROM now()) / ${FRESH_SECONDS}) * ${FRESH_SECONDS}),
    i.attempts, i.delivered, i.durations
  FROM json_to_recordset($1::json) AS i (endpoint_id uuid, attempts int, delivered int, durations int[])
  JOIN endpoints e ON e.id = i.endpoint_id
  ORDER BY i.endpoint_id
  ON CONFLICT (endpoint_id, starts_at) DO UPDATE SET
    attempts = s.attempts + excluded.attempts,
    delivered = s.delivered + excluded.delivered,
    durations = ARRAY(
      SELECT a + b FROM unnest(s.durations, excluded.durations) WITH ORDINALITY AS t (a, b, n) ORDER BY n)`;

/**
 * The last hour of an endpoint as a row of `attempts`, `delivered` and `span_ms`: how long ago the first of them was at
 * least, for a row does not say when in its five minutes its attempts were.
 *
 * @param endpointId an expression of SQL
 * @param only a condition without which there is nothing to be read
 */
export const recentAttemptsOf = (endpointId: string, only = 'true'): string => `
  SELECT coalesce(sum(attempts), 0)::int AS attempts, coalesce(sum(delivered), 0)::int AS delivered,
    greatest(0, coalesce(extract(epoch FROM now() - min(starts_at)) - ${FRESH_SECONDS}, 0) * 1000)::float8 AS span_ms
  FROM endpoint_stats WHERE ${only} AND endpoint_id = ${endpointId} AND starts_at > now() - interval '1 hour'`;

/** Sums of an endpoint over the last hour, day and week; durations are null without attempts. */
export const READ_STATS = `
  SELECT w.name AS window, coalesce(sum(s.attempts), 0)::int AS attempts, coalesce(sum(s.delivered), 0)::int AS delivered,
    (SELECT array_agg(count ORDER BY n) FROM (
       SELECT n, sum(count)::int AS count FROM endpoint_stats d, unnest(d.durations) WITH ORDINALITY AS t (count, n)
       WHERE d.endpoint_id = $1 AND d.starts_at > now() - w.length GROUP BY n) AS counted) AS durations
  FROM (VALUES ('1h', interval '1 hour'), ('24h', interval '24 hours'), ('7d', interval '7 days')) AS w (name, length)
  LEFT JOIN endpoint_stats s ON s.endpoint_id = $1 AND s.starts_at > now() - w.length
  GROUP BY w.name, w.length`;

/** Hours of more than a day ago become one row each, and what is older than a week goes. */
export const TIDY_STATS = [
  `WITH fine AS (
     DELETE FROM endpoint_stats
     WHERE starts_at < date_trunc('hour', now() - interval '25 hours', 'UTC')
       AND starts_at <> date_trunc('hour', starts_at, 'UTC')
     RETURNING endpoint_id, date_trunc('hour', starts_at, 'UTC') AS hour, attempts, delivered, durations
   ), durations AS (
     SELECT endpoint_id, hour, array_agg(count ORDER BY n) AS durations FROM (
       SELECT endpoint_id, hour, n, sum(count)::int AS count
       FROM fine, unnest(fine.durations) WITH ORDINALITY AS t (count, n) GROUP BY endpoint_id, hour, n) AS counted
     GROUP BY endpoint_id, hour
   ), sums AS (
     SELECT endpoint_id, hour, sum(attempts)::int AS attempts, sum(delivered)::int AS delivered
     FROM fine GROUP BY endpoint_id, hour
   )
   INSERT INTO endpoint_stats AS s (endpoint_id, starts_at, attempts, delivered, durations)
   SELECT endpoint_id, hour, attempts, delivered, durations FROM sums JOIN durations USING (endpoint_id, hour)
   ON CONFLICT (endpoint_id, starts_at) DO UPDATE SET
     attempts = s.attempts + excluded.attempts,
     delivered = s.delivered + excluded.delivered,
     durations = ARRAY(
       SELECT a + b FROM unnest(s.durations, excluded.durations) WITH ORDINALITY AS t (a, b, n) ORDER BY n)`,
  `DELETE FROM endpoint_stats WHERE starts_at < now() - interval '8 days'`,
];
