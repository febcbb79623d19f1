import { Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import { Database } from '../database/database.js';
import { EventCatalogue } from '../event-types/event-catalogue.js';
import { ProgramRuns } from '../transformations/program-runs.js';
import type { JobResult } from '../transformations/run.js';
import { SandboxBusyError } from '../transformations/sandbox.js';
import type { Program } from '../transformations/transformation.js';
import { programOf, type VersionRow } from '../transformations/transformation-record.js';
import { ConversionFailures } from './conversion-failures.js';
import type { Chain, Edge } from './conversion-paths.js';
import { SharedRuns } from './shared-runs.js';

const COME_BACK_MS = 2_000;
const MAX_PROGRAMS = 1_000;
/** However many wait for conversions, most of the places to wait are left to transformations. */
const MAX_UNDER_WAY = 1_000;
/** An event goes to all its endpoints at about the same time. */
const KEPT = { count: 500, size: 8 * 1024 * 1024 };

/** An event in the version that it was published in. UUIDs. */
export interface ToConvert {
  account_id: string;
  endpoint_id: string;
  event_id: string;
  type: string;
  version: string;
  occurred_at: Date;
  /** The version of the type that the endpoint wants; null where it wants whatever is published. */
  pinned_version: string | null;
  /** JSON text. */
  data: string;
}

/** What an event is in another version. */
export interface Converted {
  version: string;
  /** JSON text. */
  data: string;
}

export type Conversion =
  | ({ kind: 'converted' } & Converted)
  | { kind: 'failed'; code: 'conversion_error'; detail: string; durationMs: number; at: Edge }
  /** There is too much to do, or it has just changed: nothing came out. */
  | { kind: 'busy'; waitMs: number };

/** Makes of an event what it is in another version. */
@Injectable()
export class Converter {
  private readonly programs = new Map<string, Promise<Program | null>>();
  private readonly runs = new SharedRuns<Conversion>(KEPT, (made) =>
    made.kind === 'converted' ? made.data.length : null,
  );

  constructor(
    private readonly database: Database,
    private readonly catalogue: EventCatalogue,
    private readonly sandbox: ProgramRuns,
    private readonly failures: ConversionFailures,
  ) {}

  /** What an event goes through before it is in the version that its endpoint wants; undefined where it goes as published. */
  chainOf({
    type,
    version,
    pinned_version: pinned,
  }: Pick<ToConvert, 'type' | 'version' | 'pinned_version'>): Chain | undefined {
    if (pinned === null) return undefined;
    const pin = this.catalogue.pinOf(type, pinned);
    if (pin === 'stopped' || pin.version === null || pin.version === version) return undefined;
    return this.catalogue.chain(type, version, pin.version);
  }

  /** The version that an endpoint gets an event in. */
  versionOf(event: Pick<ToConvert, 'type' | 'version' | 'pinned_version'>): string {
    return this.chainOf(event)?.to ?? event.version;
  }

  /** The operator is told where it fails. @throws for failures of ours */
  async convert(event: ToConvert, chain: Chain): Promise<Conversion> {
    const made = await this.preview(event, chain);
    if (made.kind === 'failed') this.failures.note(event.type, made.at);
    return made;
  }

  /** The same, and nobody is told. */
  preview(event: ToConvert, chain: Chain): Promise<Conversion> {
    return this.runs.get(`${event.event_id}/${chain.key}`, () => this.run(event, chain));
  }

  private async run(event: ToConvert, chain: Chain): Promise<Conversion> {
    if (this.runs.underWay >= MAX_UNDER_WAY) return BUSY;
    let { data } = event;
    for (const step of chain.steps) {
      const program = await this.program(step.id);
      if (!program) {
        void this.catalogue.refresh().catch(() => undefined);
        return BUSY;
      }
      let result: JobResult;
      try {
        result = await this.runStep(event, step, program, data);
      } catch (error) {
        if (error instanceof SandboxBusyError) return BUSY;
        throw error;
      }
      if (!result.ok) return failed(step, result);
      data = result.transformed?.body ?? data;
    }
    return { kind: 'converted', version: chain.to, data };
  }

  private runStep(
    event: ToConvert,
    { id: programId }: Edge,
    program: Program,
    data: string,
  ): Promise<JobResult> {
    return this.sandbox.convert(
      program,
      { accountId: event.account_id, endpointId: event.endpoint_id, programId },
      { id: toId('event', event.event_id), occurredAt: event.occurred_at, text: data },
    );
  }

  /** One that was read once is known: another program has another id. @returns null for one that was replaced or removed */
  private program(id: string): Promise<Program | null> {
    const known = this.programs.get(id);
    if (known) return known;
    if (this.programs.size >= MAX_PROGRAMS) this.programs.delete(this.programs.keys().next().value ?? '');
    const read = this.read(id);
    this.programs.set(id, read);
    read.catch(() => this.programs.delete(id));
    return read;
  }

  private async read(id: string): Promise<Program | null> {
    const [row] = await this.database.prepared<Pick<VersionRow, 'kind' | 'source'>>(
      'read_conversion',
      'SELECT kind, source FROM event_type_conversions WHERE id = $1',
      [id],
    );
    return row ? programOf(row) : null;
  }
}

const BUSY: Conversion = { kind: 'busy', waitMs: COME_BACK_MS };

const failed = (step: Edge, { detail, durationMs }: Extract<JobResult, { ok: false }>): Conversion => ({
  kind: 'failed',
  code: 'conversion_error',
  detail: `from version \`${step.from}\` to \`${step.to}\`: ${detail}`,
  durationMs,
  at: step,
});
