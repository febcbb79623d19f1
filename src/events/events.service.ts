import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import type { EventsQuery, EventSummary, PublishBatchBody, PublishBody, Published } from './events.schema.js';
import { type NewEvent, Publisher } from './publisher.js';
import { rawBatchData, rawData } from './raw-data.js';

/** What an account's publisher has told. */
@Injectable()
export class EventsService {
  constructor(
    private readonly database: Database,
    private readonly publisher: Publisher,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /** @param bodyText the body as it came, from which `data` is taken byte for byte */
  async publish(_caller: Caller, accountId: string, body: PublishBody, bodyText: string): Promise<Published> {
    const [published] = await this.publisher.publish([
      this.toEvent(accountId, body, rawData(bodyText), '/data'),
    ]);
    if (!published) throw new Error('a publish got no answer');
    return published;
  }

  /** Commits all or none, so that a batch that failed may be sent again as it is. */
  async publishBatch(
    _caller: Caller,
    accountId: string,
    body: PublishBatchBody,
    bodyText: string,
  ): Promise<{ data: Published[] }> {
    const data = rawBatchData(bodyText);
    const events = body.events.map((event, index) =>
      this.toEvent(accountId, event, data[index], `/events/${index}/data`),
    );
    return { data: await this.publisher.publish(events) };
  }

  async list(_caller: Caller, accountId: string, query: EventsQuery): Promise<Page<EventSummary>> {
    const conditions = new Conditions('account_id = ?', accountId);
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('events', query.cursor));
    if (query.type !== undefined) conditions.and('type = ?', query.type);
    if (query.externalId !== undefined) conditions.and('external_id = ?', query.externalId);
    const rows = await this.database.query<EventRow>(
      `SELECT id, external_id, type, occurred_at, version, tags, priority, matched FROM events
        WHERE ${conditions.text} ORDER BY id DESC LIMIT ${query.limit + 1}`,
      conditions.values,
    );
    return toPage('events', rows, query.limit, show);
  }

  /** @returns JSON text, so that `data` is shown byte for byte as it is delivered */
  async get(_caller: Caller, accountId: string, id: string): Promise<string> {
    const [row] = await this.database.prepared<EventRow & { data: string }>(
      'get_event',
      `SELECT id, external_id, type, occurred_at, version, tags, priority, matched, data FROM events
        WHERE id = $1 AND account_id = $2`,
      [id, accountId],
    );
    if (!row) throw notFound('event');
    return `${JSON.stringify(show(row)).slice(0, -1)},"data":${row.data}}`;
  }

  private toEvent(accountId: string, body: PublishBody, data: string | undefined, pointer: string): NewEvent {
    const text = data ?? 'null';
    if (Buffer.byteLength(text) > this.settings.EVENT_BYTES) {
      throw new Problem(
        'payload_too_large',
        `An event's data may have ${this.settings.EVENT_BYTES} bytes at most.`,
        {
          errors: [{ pointer, detail: `has ${Buffer.byteLength(text)} bytes` }],
        },
      );
    }
    return {
      accountId,
      externalId: body.externalId ?? null,
      type: body.type,
      timestamp: body.timestamp ?? null,
      version: body.version ?? '1',
      tags: body.tags ?? [],
      priority: body.priority ?? null,
      data: text,
    };
  }
}

interface EventRow {
  id: string;
  external_id: string | null;
  type: string;
  occurred_at: Date;
  version: string;
  tags: string[];
  priority: EventSummary['priority'];
  matched: number;
}

function show(row: EventRow): EventSummary {
  return {
    id: toId('event', row.id),
    externalId: row.external_id,
    type: row.type,
    timestamp: row.occurred_at.toISOString(),
    version: row.version,
    tags: row.tags,
    priority: row.priority,
    matched: row.matched,
    createdAt: timeOf(row.id),
  };
}

/** A UUIDv7 carries the milliseconds it was made at, so no column repeats them. */
const timeOf = (uuid: string): string =>
  new Date(Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16)).toISOString();
