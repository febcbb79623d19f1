import { toId } from '../common/ids.js';
import type { EventSummary } from './events.schema.js';

/** An event as the API shows it, but for its data. */
export interface EventRow {
  id: string;
  external_id: string | null;
  type: string;
  occurred_at: Date;
  version: string;
  tags: string[];
  priority: EventSummary['priority'];
  test: boolean;
  matched: number;
}

/** Selects an {@link EventRow} of `events v`. */
export const EVENT_COLUMNS =
  'v.id, v.external_id, v.type, v.occurred_at, v.version, v.tags, v.priority, v.test, v.matched';

export function showEvent(row: EventRow): EventSummary {
  return {
    id: toId('event', row.id),
    externalId: row.external_id,
    type: row.type,
    timestamp: row.occurred_at.toISOString(),
    version: row.version,
    tags: row.tags,
    priority: row.priority,
    test: row.test,
    matched: row.matched,
    createdAt: timeOf(row.id),
  };
}

/** JSON text, so that `data` is shown byte for byte as it is delivered. */
export const showWithData = (row: EventRow & { data: string }): string =>
  `${JSON.stringify(showEvent(row)).slice(0, -1)},"data":${row.data}}`;

/** A UUIDv7 carries the milliseconds it was made at, so no column repeats them. */
const timeOf = (uuid: string): string =>
  new Date(Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)).toISOString();
