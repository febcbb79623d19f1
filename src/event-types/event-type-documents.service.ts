import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Caller } from '../auth/caller.js';
import { Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { valueAt } from '../json-schema/pointer.js';
import { sizeOf } from '../json-schema/schema-rules.js';
import { isAsyncApi, readAsyncApi, writeAsyncApi } from './documents/asyncapi-document.js';
import { bundleSchema } from './documents/bundle-schema.js';
import { type Documented, DocumentRefusedError, type Placed } from './documents/documented.js';
import { dataSchema, withoutOwnId } from './documents/envelope.js';
import { isOpenApi, readOpenApi, writeOpenApi } from './documents/openapi-document.js';
import {
  type EventTypeRecord,
  type EventTypeRow,
  fromRow,
  isSameEventType,
  lockEventTypes,
  readEventType,
  selectEventTypes,
  type VersionRecord,
} from './event-type-record.js';
import {
  type ExportQuery,
  type Imported,
  type ImportQuery,
  MAX_EXAMPLES,
  MAX_VERSIONS,
} from './event-types.schema.js';
import { EventTypesService } from './event-types.service.js';
import { versionFrom, VersionRefusedError } from './version-rules.js';

const MAX_DOCUMENT = { values: 500_000, depth: 150 };
const MAX_DOCUMENTED = 2_000;
const MAX_EXPORT_BYTES = 32 * 1024 * 1024;

/** Event types from the documents that describe webhooks elsewhere, and as such. */
@Injectable()
export class EventTypeDocumentsService {
  constructor(
    private readonly database: Database,
    private readonly eventTypes: EventTypesService,
  ) {}

  /** @throws Problem `payload_too_large` for a catalogue that one answer should not hold */
  async export(_caller: Caller, { format }: ExportQuery): Promise<Record<string, unknown>> {
    const [size] = await this.database.prepared<{ bytes: number }>(
      'catalogue_size',
      'SELECT coalesce(sum(octet_length(schema)), 0)::float8 + coalesce(sum(octet_length(examples)), 0)::float8 AS bytes FROM event_type_versions',
      [],
    );
    if ((size?.bytes ?? 0) > MAX_EXPORT_BYTES)
      throw new Problem(
        'payload_too_large',
        `A document may have ${MAX_EXPORT_BYTES} bytes of schemas and examples.`,
      );
    const rows = await this.database.prepared<EventTypeRow>(
      'export_event_types',
      `${selectEventTypes('whole')} ORDER BY t.name COLLATE "C"`,
      [],
    );
    const types = rows.map(fromRow);
    return format === 'openapi' ? writeOpenApi(types) : writeAsyncApi(types);
  }

  /**
   * Adds to the catalogue what a document tells; what it does not tell of stays as it is. A type of which anything is refused
   * is left alone.
   *
   * @throws Problem `validation_failed` for what is no such document
   */
  async import(
    caller: Caller,
    document: Readonly<Record<string, unknown>>,
    { dryRun }: ImportQuery,
  ): Promise<Imported> {
    const refused: Imported['refused'] = [];
    const types = byType(read(document, refused));
    const result: Imported = { dryRun: dryRun === 'true', created: [], updated: [], unchanged: [], refused };
    await this.eventTypes.write(async (client) => {
      // A deadlock has it run once more, from the beginning.
      const again: Imported = { ...result, created: [], updated: [], unchanged: [], refused: [...refused] };
      await lockEventTypes(client);
      for (const [name, documented] of types)
        await this.importType(client, caller, { document, name, documented, result: again });
      Object.assign(result, again);
    });
    return result;
  }

  private async importType(
    client: pg.PoolClient,
    caller: Caller,
    { document, name, documented, result }: TypeImport,
  ): Promise<void> {
    const before = await readEventType(client, name);
    let after: EventTypeRecord = before ?? {
      name,
      description: null,
      group: null,
      priority: null,
      versions: [],
    };
    try {
      for (const each of documented) after = await merged(document, after, each);
    } catch (error) {
      if (!(error instanceof DocumentRefusedError)) throw error;
      result.refused.push({ pointer: error.pointer, detail: error.message });
      return;
    }
    if (before && isSameEventType(before, after)) {
      result.unchanged.push(name);
      return;
    }
    (before ? result.updated : result.created).push(name);
    if (!result.dryRun) await this.eventTypes.save(client, caller, name, () => after);
  }
}

interface TypeImport {
  document: unknown;
  name: string;
  documented: Documented[];
  result: Imported;
}

/** @throws Problem `validation_failed` */
function read(document: Readonly<Record<string, unknown>>, refused: Imported['refused']): Documented[] {
  const refuse = ({ pointer, message }: DocumentRefusedError) => refused.push({ pointer, detail: message });
  try {
    const { values, depth } = sizeOf(document, MAX_DOCUMENT);
    if (values > MAX_DOCUMENT.values || depth > MAX_DOCUMENT.depth)
      throw new DocumentRefusedError(
        '',
        `must not have more than ${MAX_DOCUMENT.values} values and ${MAX_DOCUMENT.depth} levels`,
      );
    const documented = isOpenApi(document)
      ? readOpenApi(document, refuse)
      : isAsyncApi(document)
        ? readAsyncApi(document, refuse)
        : undefined;
    if (!documented) throw new DocumentRefusedError('', 'must be an OpenAPI or AsyncAPI document');
    if (documented.length > MAX_DOCUMENTED)
      throw new DocumentRefusedError(
        '',
        `must not tell of more than ${MAX_DOCUMENTED} versions of event types`,
      );
    return documented;
  } catch (error) {
    if (!(error instanceof DocumentRefusedError)) throw error;
    const { pointer, message: detail } = error;
    throw new Problem('validation_failed', `${pointer === '' ? 'The document' : pointer}: ${detail}`, {
      errors: [{ pointer, detail }],
    });
  }
}

function byType(documented: readonly Documented[]): Map<string, Documented[]> {
  const types = new Map<string, Documented[]>();
  for (const each of documented) {
    const others = types.get(each.type);
    if (others) others.push(each);
    else types.set(each.type, [each]);
  }
  return types;
}

/** A type with what a document tells of it. @throws DocumentRefusedError */
async function merged(
  document: unknown,
  type: EventTypeRecord,
  documented: Documented,
): Promise<EventTypeRecord> {
  const { description, group, priority, version } = documented;
  const told = {
    ...type,
    ...(description === undefined ? {} : { description }),
    ...(group === undefined ? {} : { group }),
    ...(priority === undefined ? {} : { priority }),
  };
  if (version === null) return told;
  const before = type.versions.find((known) => known.version === version);
  const read = await versionOf(document, documented, version, before);
  if (!before && type.versions.length >= MAX_VERSIONS)
    throw new DocumentRefusedError(documented.pointer, `must be one of ${MAX_VERSIONS} versions at most`);
  const versions = before
    ? type.versions.map((known) => (known.version === version ? read : known))
    : [...type.versions, read];
  return { ...told, versions };
}

async function versionOf(
  document: unknown,
  { type, pointer, schema: given, examples: all, life }: Documented,
  version: string,
  before: VersionRecord | undefined,
): Promise<VersionRecord> {
  const { schema, isEnvelope } = dataSchema(type, version, given);
  const examples = all
    .slice(0, MAX_EXAMPLES)
    .map((example) => (isEnvelope ? dataOf(example) : example))
    .filter(({ value }) => value !== undefined);
  try {
    return await versionFrom(
      { version },
      {
        schema: schema && withoutOwnId(type, version, bundleSchema(document, schema)),
        examples: examples.map(({ value }) => value),
        ...life,
      },
      before,
    );
  } catch (error) {
    if (!(error instanceof VersionRefusedError)) throw error;
    const [first] = error.errors;
    throw new DocumentRefusedError(
      placeOf(document, first?.pointer ?? '', schema, examples) ?? pointer,
      first?.detail ?? 'is not valid',
    );
  }
}

const dataOf = ({ pointer, value }: Placed): Placed => ({
  pointer: `${pointer}/data`,
  value: valueAt(value, '/data'),
});

/** Where in the document that is which a pointer into a version leads to. */
function placeOf(
  document: unknown,
  pointer: string,
  schema: Placed | null,
  examples: readonly Placed[],
): string | undefined {
  const [, part, index = ''] = pointer.split('/');
  if (part === 'schema' && schema) {
    const inside = schema.pointer + pointer.slice('/schema'.length);
    // What was brought along from elsewhere is not there.
    return valueAt(document, inside.replaceAll('%', '%25')) === undefined ? schema.pointer : inside;
  }
  const example = part === 'examples' ? examples[Number(index)] : undefined;
  return example && example.pointer + pointer.slice(`/examples/${index}`.length);
}
