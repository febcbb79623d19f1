import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Logger } from 'pino';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import { uuidV7 } from '../common/ids.js';
import { invalidField, notFound, Problem } from '../common/problems.js';
import { eventType } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { EventCatalogue } from '../event-types/event-catalogue.js';
import { lockEventTypes } from '../event-types/event-type-record.js';
import { eventVersion } from '../event-types/event-types.schema.js';
import { sizeOf } from '../json-schema/schema-rules.js';
import { LOGGER } from '../logging/logger.js';
import { sourceOf } from '../transformations/transformation-record.js';
import type { Program } from '../transformations/transformation.js';
import {
  auditedConversion,
  type ConversionRef,
  type ConversionRow,
  nameOf,
  readConversion,
  retryUnconverted,
  saveConversion,
  SELECT_CONVERSION,
  showConversion,
} from './conversion-record.js';
import { ConversionTrials } from './conversion-trials.js';
import {
  type ConversionProgram,
  type ConversionShown,
  type ConversionTest,
  MAX_CONVERSIONS,
  type PutConversionBody,
} from './conversions.schema.js';

const MAX_TESTS_BYTES = 256 * 1024;
const MAX_TEST_DEPTH = 64;

/** How events of one version become events of another. */
@Injectable()
export class ConversionsService {
  constructor(
    private readonly database: Database,
    private readonly trials: ConversionTrials,
    private readonly catalogue: EventCatalogue,
    private readonly reconciler: Reconciler,
    private readonly audit: AuditService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async get(_caller: Caller, ref: ConversionRef): Promise<ConversionShown> {
    const { type, from, to } = readable(ref);
    const [row] = await this.database.prepared<ConversionRow>('get_conversion', SELECT_CONVERSION, [
      type,
      from,
      to,
    ]);
    if (!row) throw notFound('conversion');
    return showConversion(ref, row);
  }

  /**
   * In force from the next attempt on; what waits because it could not be converted is tried at once.
   *
   * @throws Problem `validation_failed` where a test does not come out as expected, `unavailable`
   */
  async put(caller: Caller, ref: ConversionRef, body: PutConversionBody): Promise<ConversionShown> {
    const { from, to } = readable(ref);
    if (from === to) throw new Problem('validation_failed', 'A version is not converted to itself.');
    const program = programIn(body.transformation);
    const tests = testsText(body.tests);
    const schema = await this.schemaOf(ref);
    await this.trials.run(program, body.tests, schema.text);
    const given = { kind: program.kind, source: sourceOf(program), tests };
    const after = await this.database.transaction(async (client) => {
      await lockEventTypes(client);
      await this.admit(client, ref, schema.digest);
      const before = await readConversion(client, ref);
      const isSame = before?.kind === given.kind && before.source === given.source;
      if (!isSame || before.tests !== tests)
        await saveConversion(client, ref, given, isSame ? before.id : uuidV7(Date.now()));
      const saved = await readConversion(client, ref);
      if (!saved) throw new Error('a saved conversion is gone');
      await this.record(client, caller, ref, before, saved);
      return saved;
    });
    await this.putInForce(ref);
    return showConversion(ref, after);
  }

  /** Where no other way leads to the version that is pinned, events go as they were published. */
  async delete(caller: Caller, ref: ConversionRef): Promise<void> {
    const { type, from, to } = readable(ref);
    await this.database.transaction(async (client) => {
      await lockEventTypes(client);
      const before = await readConversion(client, ref);
      if (!before) throw notFound('conversion');
      await client.query(
        'DELETE FROM event_type_conversions WHERE type = $1 AND from_version = $2 AND to_version = $3',
        [type, from, to],
      );
      await this.record(client, caller, ref, before, null);
    });
    await this.putInForce(ref);
  }

  private async putInForce({ type }: ConversionRef): Promise<void> {
    await this.catalogue.refresh();
    try {
      await retryUnconverted(this.database, type);
    } catch (error) {
      // It is done all the same, and what waits is tried when its schedule says so.
      this.logger.warn(
        { err: error, type },
        'deliveries that a conversion had failed were not retried at once',
      );
    }
    this.reconciler.nudge();
  }

  /** Of the version that comes out. @throws Problem `not_found` unless both versions are registered */
  private async schemaOf({
    type,
    from,
    to,
  }: ConversionRef): Promise<{ text: string | null; digest: string | null }> {
    const rows = await this.database.prepared<{
      version: string;
      schema: string | null;
      schema_digest: string | null;
    }>(
      'versions_to_convert',
      'SELECT version, schema, schema_digest FROM event_type_versions WHERE type = $1 AND version IN ($2, $3)',
      [type, from, to],
    );
    const target = rows.find(({ version }) => version === to);
    if (!target || !rows.some(({ version }) => version === from))
      throw notFound('version of this event type');
    return { text: target.schema, digest: target.schema_digest };
  }

  /** @param digest of the schema that the tests were compared with */
  private async admit(client: pg.PoolClient, ref: ConversionRef, digest: string | null): Promise<void> {
    const { type, from, to } = ref;
    const { rows } = await client.query<{ is_known: boolean; schema_digest: string | null; others: number }>(
      `SELECT v.schema_digest, EXISTS (SELECT FROM event_type_versions WHERE type = $1 AND version = $2) AS is_known,
         (SELECT count(*) FROM event_type_conversions WHERE type = $1 AND (from_version, to_version) <> ($2, $3))::int AS others
        FROM event_type_versions v WHERE v.type = $1 AND v.version = $3`,
      [type, from, to],
    );
    const [row] = rows;
    if (!row?.is_known) throw notFound('version of this event type');
    if (row.others >= MAX_CONVERSIONS)
      throw invalidField('', `must be one of ${MAX_CONVERSIONS} conversions of an event type at most`);
    if (row.schema_digest !== digest)
      throw new Problem('unavailable', 'The version was changed a moment ago.', { retryAfterSeconds: 1 });
  }

  private async record(
    client: pg.PoolClient,
    caller: Caller,
    ref: ConversionRef,
    before: ConversionRow | null,
    after: ConversionRow | null,
  ): Promise<void> {
    await this.audit.record(client, caller, {
      accountId: null,
      action: after ? 'conversion.update' : 'conversion.delete',
      resourceId: nameOf(ref),
      changes: changesBetween(before && auditedConversion(before), after && auditedConversion(after)),
    });
  }
}

/** A version that there cannot be is not found, and PostgreSQL is not asked for what its text cannot hold. */
function readable(ref: ConversionRef): ConversionRef {
  if (!eventType.safeParse(ref.type).success) throw notFound('event type');
  if (![ref.from, ref.to].every((version) => eventVersion.safeParse(version).success))
    throw notFound('version of this event type');
  return ref;
}

const programIn = ({ kind, code, spec }: ConversionProgram): Program =>
  kind === 'javascript' ? { kind, code: code ?? '' } : { kind, spec: spec ?? {} };

function testsText(tests: readonly ConversionTest[]): string {
  const { depth } = sizeOf(tests, { values: Infinity, depth: MAX_TEST_DEPTH });
  if (depth > MAX_TEST_DEPTH)
    throw invalidField('/tests', `must not have more than ${MAX_TEST_DEPTH} levels`);
  const text = JSON.stringify(tests);
  if (Buffer.byteLength(text) > MAX_TESTS_BYTES)
    throw invalidField('/tests', `must not have more than ${MAX_TESTS_BYTES} bytes`);
  return text;
}
