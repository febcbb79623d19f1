import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import type { Page } from '../common/cursor.js';
import { invalidField, notFound, Problem } from '../common/problems.js';
import { EVENT_TYPE, eventType, type ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { namedPage } from '../database/named-page.js';
import { pointerTo } from '../json-schema/pointer.js';
import { EventCatalogue } from './event-catalogue.js';
import {
  auditedEventType,
  type EventTypeRecord,
  type EventTypeRow,
  fromRow,
  lockEventTypes,
  readEventType,
  saveEventType,
  selectEventTypes,
  showEventType,
  type StoredEventType,
  summariseEventType,
  type VersionRecord,
} from './event-type-record.js';
import {
  type AddVersionBody,
  type ChangeVersionBody,
  type EventTypeShown,
  type EventTypeSummary,
  MAX_VERSIONS,
  type RegisterEventTypeBody,
} from './event-types.schema.js';
import { versionFrom, VersionRefusedError } from './version-rules.js';

/** What the provider says about the types of its events. */
@Injectable()
export class EventTypesService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly catalogue: EventCatalogue,
  ) {}

  list(_caller: Caller, query: ListQuery): Promise<Page<EventTypeSummary>> {
    const select = selectEventTypes('lives');
    const show = (row: EventTypeRow) => summariseEventType(fromRow(row));
    return namedPage(this.database, { list: 'event-types', select, form: EVENT_TYPE, show }, query);
  }

  async get(_caller: Caller, name: string): Promise<EventTypeShown> {
    const [row] = await this.database.prepared<EventTypeRow>(
      'get_event_type',
      `${selectEventTypes('whole')} WHERE t.name = $1`,
      [readName(name)],
    );
    if (!row) throw notFound('event type');
    return showEventType(fromRow(row));
  }

  /** @throws Problem `validation_failed` for what no event type may be called, and for versions that are refused */
  async register(caller: Caller, name: string, body: RegisterEventTypeBody): Promise<EventTypeShown> {
    const { error } = eventType.safeParse(name);
    if (error) {
      throw new Problem('validation_failed', `The event type: ${error.issues[0]?.message ?? 'is not valid'}`);
    }
    const versions: VersionRecord[] = [];
    for (const [index, version] of (body.versions ?? []).entries())
      versions.push(await readVersion(version, version, undefined, `/versions${pointerTo(index)}`));
    return this.write((client) =>
      this.save(client, caller, name, (before) => ({
        name,
        description: body.description ?? null,
        group: body.group ?? null,
        priority: body.priority ?? null,
        versions: body.versions ? versions : (before?.versions ?? []),
      })),
    );
  }

  /** It is the newest from then on. */
  async addVersion(caller: Caller, name: string, body: AddVersionBody): Promise<EventTypeShown> {
    readName(name);
    const version = await readVersion(body, body, undefined, '');
    return this.write((client) =>
      this.save(client, caller, name, (before) => {
        if (!before) throw notFound('event type');
        if (before.versions.some((other) => other.version === body.version))
          throw invalidField('/version', 'is registered already');
        if (before.versions.length >= MAX_VERSIONS)
          throw invalidField('/version', `must be one of ${MAX_VERSIONS} at most`);
        return { ...before, versions: [...before.versions, version] };
      }),
    );
  }

  async changeVersion(
    caller: Caller,
    name: string,
    version: string,
    body: ChangeVersionBody,
  ): Promise<EventTypeShown> {
    readName(name);
    return this.write(async (client) => {
      await lockEventTypes(client);
      const known = (await readEventType(client, name))?.versions.find((other) => other.version === version);
      if (!known) throw notFound('version of this event type');
      const changed = await readVersion({ version }, body, known, '');
      return this.save(client, caller, name, (type) => {
        if (!type) throw notFound('event type');
        return {
          ...type,
          versions: type.versions.map((other) => (other.version === version ? changed : other)),
        };
      });
    });
  }

  async delete(caller: Caller, name: string): Promise<void> {
    readName(name);
    await this.write(async (client) => {
      await lockEventTypes(client);
      const before = await readEventType(client, name);
      if (!before) throw notFound('event type');
      await client.query('DELETE FROM event_types WHERE name = $1', [name]);
      await this.record(client, caller, before, null);
    });
  }

  /** Runs changes in one transaction, which counts in this process at once. */
  async write<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const result = await this.database.transaction(work);
    await this.catalogue.refresh();
    return result;
  }

  /** Makes a type what `change` says, and leaves an entry in the audit log. */
  async save(
    client: pg.PoolClient,
    caller: Caller,
    name: string,
    change: (before: StoredEventType | null) => EventTypeRecord,
  ): Promise<EventTypeShown> {
    await lockEventTypes(client);
    const before = await readEventType(client, name);
    await saveEventType(client, change(before));
    const after = await readEventType(client, name);
    if (!after) throw new Error('a saved event type is gone');
    await this.record(client, caller, before, after);
    return showEventType(after);
  }

  private async record(
    client: pg.PoolClient,
    caller: Caller,
    before: StoredEventType | null,
    after: StoredEventType | null,
  ): Promise<void> {
    await this.audit.record(client, caller, {
      accountId: null,
      action: after ? (before ? 'event_type.update' : 'event_type.create') : 'event_type.delete',
      resourceId: (before ?? after)?.name ?? '',
      changes: changesBetween(before && auditedEventType(before), after && auditedEventType(after)),
    });
  }
}

/** A name that no event type may have is not found, and PostgreSQL is not asked for what its text cannot hold. */
function readName(name: string): string {
  if (!eventType.safeParse(name).success) throw notFound('event type');
  return name;
}

/** @param pointer to the version in the body */
async function readVersion(
  named: { version: string },
  body: ChangeVersionBody,
  before: VersionRecord | undefined,
  pointer: string,
): Promise<VersionRecord> {
  try {
    return await versionFrom(named, body, before);
  } catch (error) {
    throw error instanceof VersionRefusedError ? error.toProblem(pointer) : error;
  }
}
