import {
  ENDPOINT_COLUMNS,
  endpointsOf,
  type LoadedDelivery,
  type LoadedEndpoint,
} from '../deliveries/loader.js';
import { goesByExpress, type MatchedRow, type NewDeliveryTerms } from './new-deliveries.js';

/** Endpoints that one statement reads for what it has made; what goes to more is read as everything else is. */
const MAX_READ = 64;

/** An event that was just written. */
export interface MadeEvent {
  id: string;
  type: string;
  at: Date;
  version: string;
  tags: string[];
  data: string;
}

/** {@link LoadedEndpoint} in JSON, where bytes are text. */
export interface EndpointJson extends Omit<LoadedEndpoint, 'sealed_headers' | 'sealed_auth'> {
  sealed_headers: string | null;
  sealed_auth: string | null;
  test: boolean;
  /** The versions that the endpoint wants, by type. */
  event_versions: Record<string, string> | null;
}

/** Selects the {@link EndpointJson} of each that `matches` go to, as one array. */
export const readEndpoints = (matches: string): string => `
  SELECT json_agg(read) FROM (
    SELECT e.test, e.event_versions, ${ENDPOINT_COLUMNS}
    FROM (SELECT DISTINCT endpoint_id FROM ${matches} LIMIT ${MAX_READ}) m ${endpointsOf('m')}
  ) read`;

/** @returns what reading one of these deliveries would find, its endpoint as it was when it was made, where that is known */
export function madeDeliveries(
  rows: MatchedRow[],
  events: MadeEvent[],
  endpoints: EndpointJson[],
  terms: NewDeliveryTerms,
): (deliveryId: string) => LoadedDelivery | undefined {
  if (endpoints.length === 0) return () => undefined;
  const byId = new Map(rows.map((row) => [row[0], row]));
  const eventsById = new Map(events.map((event) => [event.id, event]));
  const endpointsById = new Map(endpoints.map((endpoint) => [endpoint.endpoint_id, readEndpoint(endpoint)]));
  return (deliveryId) => {
    const row = byId.get(deliveryId);
    if (!row) return undefined;
    const [, accountId, eventId, endpointId, , , , lane] = row;
    const [endpoint, event] = [endpointsById.get(endpointId), eventsById.get(eventId)];
    if (!endpoint || !event) return undefined;
    const { event_versions: versions, ...columns } = endpoint;
    const takesTags = endpoint.format !== 'posthorn' || endpoint.lookups !== null;
    return {
      ...columns,
      id: deliveryId,
      account_id: accountId,
      event_id: eventId,
      status: 'pending',
      status_reason: null,
      attempt_count: 0,
      next_attempt_at: null,
      probe: false,
      express: goesByExpress(lane, terms),
      lease: terms.lease,
      type: event.type,
      occurred_at: event.at,
      version: event.version,
      pinned_version: versions?.[event.type] ?? null,
      data: event.data,
      bytes: Buffer.byteLength(event.data),
      tags: takesTags ? event.tags : null,
    };
  };
}

const readEndpoint = (endpoint: EndpointJson) => ({
  ...endpoint,
  sealed_headers: endpoint.sealed_headers === null ? null : bytes(endpoint.sealed_headers),
  sealed_auth: endpoint.sealed_auth === null ? null : bytes(endpoint.sealed_auth),
});

/** @param text as PostgreSQL writes `bytea`: `\x` and hexadecimal digits */
const bytes = (text: string): Buffer => Buffer.from(text.slice(2), 'hex');
