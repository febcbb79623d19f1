import { Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { fromId, uuidV7 } from '../common/ids.js';
import { invalidField, notFound, Problem } from '../common/problems.js';
import { ConvertedEvents } from '../conversions/converted-events.js';
import type { ToConvert } from '../conversions/converter.js';
import { Database } from '../database/database.js';
import { Enricher } from '../lookups/enricher.js';
import { maskHeaders } from '../endpoints/custom-headers.js';
import { AccountPlans } from '../plans/account-plans.js';
import { checkTransformation } from '../plans/plan.js';
import { type Signing, STANDARD } from '../signing/schemes.js';
import { checkChange } from './change.js';
import { ProgramRuns, type SeenEvent, seenEvent } from './program-runs.js';
import { BOUNDS, type Program, TransformError, type Transformed } from './transformation.js';
import { programOf, type VersionRow } from './transformation-record.js';
import type { DURATIONS, TestTransformationBody, TransformationTested } from './transformations.schema.js';

/** Runs of transformations that send nothing. */
@Injectable()
export class TransformationTests {
  constructor(
    private readonly database: Database,
    private readonly runs: ProgramRuns,
    private readonly plans: AccountPlans,
    private readonly converted: ConvertedEvents,
    private readonly enricher: Enricher,
  ) {}

  /** @throws Problem `not_found`, `forbidden`, `plan_limit_exceeded`, `unavailable` */
  async run(
    caller: Caller,
    accountId: string,
    endpointId: string,
    body: TestTransformationBody,
  ): Promise<TransformationTested> {
    const endpoint = await this.endpoint(accountId, endpointId);
    const program = programIn(body) ?? storedIn(endpoint);
    const plan = this.plans.known(accountId) ?? (await this.plans.load(accountId));
    checkTransformation(plan, program.kind, program.kind === 'javascript' ? '/code' : '/spec');
    const facts =
      body.eventId === undefined
        ? sampleOf(body)
        : await this.event(caller, accountId, endpointId, body.eventId);
    const enriched = await this.contextFor(accountId, endpointId, endpoint, facts);
    if (enriched.error !== null)
      return { outcome: 'failed', result: null, error: enriched.error, console: [], duration: 'under_1_ms' };
    const event = seenEvent(facts, enriched.context);
    const { url } = endpoint;
    const result = await this.runs.try(program, { accountId, endpointId, url }, event);
    const tested = { console: result.console, duration: durationOf(result.durationMs) };
    if (!result.ok) return { outcome: 'failed', result: null, error: result.detail, ...tested };
    return { ...judge(endpoint, event, result.transformed), ...tested };
  }

  private async contextFor(
    accountId: string,
    endpointId: string,
    { lookups }: EndpointRow,
    facts: EventRow,
  ): Promise<{ context: string | null; error: null } | { error: string }> {
    if (lookups === null) return { context: null, error: null };
    const event = { ...facts, account_id: accountId, endpoint_id: endpointId };
    const enriched = await this.enricher.preview(lookups, event);
    switch (enriched.kind) {
      case 'enriched':
        return { context: enriched.context, error: null };
      case 'failed':
        return { error: enriched.detail };
      case 'busy':
        throw new Problem('unavailable', 'Too many lookups wait for their turn.', { retryAfterSeconds: 5 });
    }
  }

  private async endpoint(accountId: string, endpointId: string): Promise<EndpointRow> {
    const [row] = await this.database.prepared<EndpointRow>(
      'transformation_to_test',
      `SELECT e.url, e.signing, e.lookups, v.kind, v.source FROM endpoints e
        LEFT JOIN transformations t ON t.endpoint_id = e.id LEFT JOIN transformation_versions v ON v.id = t.version_id
        WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL`,
      [endpointId, accountId],
    );
    if (!row) throw notFound('endpoint');
    return row;
  }

  /** As it is in the version that the endpoint pins. */
  private async event(
    caller: Caller,
    accountId: string,
    endpointId: string,
    eventId: string,
  ): Promise<EventRow> {
    if (!caller.scopes.has('events:read'))
      throw new Problem(
        'forbidden',
        'To try it on an event that was published needs the scope `events:read`.',
      );
    const id = fromId('event', eventId);
    if (id === null) throw notFound('event');
    const [row] = await this.database.prepared<EventRow & ToConvert>(
      'event_to_transform',
      `SELECT v.id AS event_id, v.account_id, v.type, v.occurred_at, v.version, v.data, v.tags, e.id AS endpoint_id,
         e.event_versions ->> v.type AS pinned_version
        FROM events v, endpoints e WHERE v.id = $1 AND v.account_id = $2 AND e.id = $3`,
      [id, accountId, endpointId],
    );
    if (!row) throw notFound('event');
    return this.converted.of(row);
  }
}

interface EndpointRow {
  url: string;
  signing: Signing | null;
  lookups: string[] | null;
  kind: VersionRow['kind'] | null;
  source: string | null;
}

interface EventRow {
  event_id: string;
  type: string;
  occurred_at: Date;
  version: string;
  data: string;
  tags: string[];
}

function programIn({ code, spec }: TestTransformationBody): Program | null {
  if (code !== undefined) return { kind: 'javascript', code };
  return spec === undefined ? null : { kind: 'declarative', spec };
}

function storedIn({ kind, source }: EndpointRow): Program {
  if (kind === null || source === null) throw notFound('transformation');
  return programOf({ kind, source });
}

function sampleOf({ event }: TestTransformationBody): EventRow {
  if (!event) throw new Error('a test has neither a sample nor an event');
  const { type, version = '1' } = event;
  return {
    event_id: uuidV7(Date.now()),
    type,
    version,
    occurred_at: event.timestamp === undefined ? new Date() : new Date(event.timestamp),
    data: textOf(event.data),
    tags: [],
  };
}

function textOf(data: unknown): string {
  try {
    return JSON.stringify(data);
  } catch (error) {
    if (error instanceof RangeError) throw invalidField('/event/data', 'is nested too deeply');
    throw error;
  }
}

function judge(
  { url, signing }: EndpointRow,
  event: SeenEvent,
  transformed: Transformed,
): Pick<TransformationTested, 'outcome' | 'result' | 'error'> {
  if (transformed === null) return { outcome: 'dropped', result: null, error: null };
  try {
    const changed = checkChange({ url, taken: [(signing ?? STANDARD).header] }, transformed);
    const result = {
      url: changed.url,
      headers: maskHeaders(changed.headers),
      body: changed.body ?? event.text,
    };
    return { outcome: 'transformed', result, error: null };
  } catch (error) {
    if (!(error instanceof TransformError)) throw error;
    return { outcome: 'failed', result: null, error: error.message };
  }
}

/** By classes: to the microsecond, it would tell of others who run here too. */
function durationOf(ms: number): (typeof DURATIONS)[number] {
  if (ms < 1) return 'under_1_ms';
  if (ms < 10) return 'under_10_ms';
  return ms < BOUNDS.runMs ? 'under_100_ms' : 'ended';
}
