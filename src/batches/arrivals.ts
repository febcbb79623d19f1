/**
 * Inserts what came for endpoints that collect, of the deliveries in `source`. Whoever takes these rows knows the deliveries to
 * be committed. Returns a row for each endpoint.
 *
 * @param joinEvents joins the events `v` of `source m`
 */
export const noteArrivals = (source: string, joinEvents: string): string => `
  INSERT INTO batch_arrivals (endpoint_id, items, bytes)
  SELECT m.endpoint_id, count(*), sum(octet_length(v.data)) FROM ${source} m ${joinEvents}
  WHERE m.status = 'batched' GROUP BY m.endpoint_id RETURNING endpoint_id`;
