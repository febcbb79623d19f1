import { Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { priorityLevel, priorityOf } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import { EVENT_TYPE, eventType, type ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import type { EventTypeShown, RegisterEventTypeBody } from './event-types.schema.js';

/** What the provider says about the types of its events. Types that are not registered may be published too. */
@Injectable()
export class EventTypesService {
  constructor(private readonly database: Database) {}

  async list(_caller: Caller, query: ListQuery): Promise<Page<EventTypeShown>> {
    const after = query.cursor === undefined ? '' : decodeCursor('event-types', query.cursor, EVENT_TYPE);
    const rows = await this.database.prepared<EventTypeRow>(
      'list_event_types',
      // By bytes, so that the order is the same whatever the database's language is.
      `SELECT ${COLUMNS} FROM event_types WHERE name COLLATE "C" > $1 ORDER BY name COLLATE "C" LIMIT $2`,
      [after, query.limit + 1],
    );
    const keyed = rows.map((row) => ({ ...row, id: row.name }));
    return toPage('event-types', keyed, query.limit, show);
  }

  async get(_caller: Caller, name: string): Promise<EventTypeShown> {
    const [row] = await this.database.prepared<EventTypeRow>(
      'get_event_type',
      `SELECT ${COLUMNS} FROM event_types WHERE name = $1`,
      [readName(name)],
    );
    if (!row) throw notFound('event type');
    return show(row);
  }

  /** Counts from the next publish on. @throws Problem `validation_failed` for what no event type may be called */
  async register(_caller: Caller, name: string, body: RegisterEventTypeBody): Promise<EventTypeShown> {
    const { error } = eventType.safeParse(name);
    if (error) {
      throw new Problem('validation_failed', `The event type: ${error.issues[0]?.message ?? 'is not valid'}`);
    }
    const [row] = await this.database.prepared<EventTypeRow>(
      'register_event_type',
      `INSERT INTO event_types (name, priority) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET priority = excluded.priority, updated_at = now()
        RETURNING ${COLUMNS}`,
      [name, body.priority ? priorityLevel(body.priority) : null],
    );
    if (!row) throw new Error('an upsert returned no row');
    return show(row);
  }

  async delete(_caller: Caller, name: string): Promise<void> {
    const deleted = await this.database.prepared(
      'delete_event_type',
      'DELETE FROM event_types WHERE name = $1 RETURNING 1',
      [readName(name)],
    );
    if (deleted.length === 0) throw notFound('event type');
  }
}

const COLUMNS = 'name, priority, created_at, updated_at';

interface EventTypeRow {
  name: string;
  priority: number | null;
  created_at: Date;
  updated_at: Date;
}

/** A name that no event type may have is not found, and PostgreSQL is not asked for what its text cannot hold. */
function readName(name: string): string {
  if (!eventType.safeParse(name).success) throw notFound('event type');
  return name;
}

const show = (row: EventTypeRow): EventTypeShown => ({
  name: row.name,
  priority: row.priority === null ? null : priorityOf(row.priority),
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
