import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { EndpointWarnings } from '../notifications/endpoint-warnings.js';
import { type Signing, STANDARD } from '../signing/schemes.js';
import { type Changed, checkChange } from './change.js';
import { ProgramRuns, type SeenEvent } from './program-runs.js';
import type { JobResult } from './run.js';
import { SandboxBusyError } from './sandbox.js';
import { type Program, TransformError } from './transformation.js';
import { programOf, type VersionRow } from './transformation-record.js';

const COME_BACK_MS = 2_000;
const MAX_KEPT = 1_000;

/** What a delivery's attempt knows of it. UUIDs. */
export interface ToTransform {
  account_id: string;
  endpoint_id: string;
  url: string;
  signing: Signing | null;
}

export type Step =
  | ({ kind: 'changed' } & Changed)
  | { kind: 'dropped' }
  /** Nothing is to be sent. */
  | { kind: 'failed'; code: 'transform_error'; detail: string; durationMs: number }
  /** There is too much to do: nothing was run. */
  | { kind: 'busy'; waitMs: number };

/** Carries out the transformation of an endpoint, as part of an attempt. */
@Injectable()
export class Transformer {
  private readonly programs = new Map<string, Promise<Program>>();

  constructor(
    private readonly database: Database,
    private readonly runs: ProgramRuns,
    private readonly warnings: EndpointWarnings,
  ) {}

  /**
   * @param versionId of the version in force
   * @throws for failures of ours
   */
  async transform(versionId: string, endpoint: ToTransform, event: SeenEvent): Promise<Step> {
    const step = await this.preview(versionId, endpoint, event);
    if (step.kind === 'failed') this.warnings.note('transform', endpoint.endpoint_id);
    return step;
  }

  /** The same, and nobody is told where it fails. */
  async preview(versionId: string, endpoint: ToTransform, event: SeenEvent): Promise<Step> {
    const program = await this.program(versionId);
    const { account_id: accountId, endpoint_id: endpointId, url } = endpoint;
    let result: JobResult;
    try {
      result = await this.runs.run(program, { accountId, endpointId, url }, event);
    } catch (error) {
      if (error instanceof SandboxBusyError) return { kind: 'busy', waitMs: COME_BACK_MS };
      throw error;
    }
    return stepOf(endpoint, result);
  }

  /** Versions do not change: one that was read once is known. */
  private program(versionId: string): Promise<Program> {
    const known = this.programs.get(versionId);
    if (known) return known;
    if (this.programs.size >= MAX_KEPT) this.programs.delete(this.programs.keys().next().value ?? '');
    const read = this.read(versionId);
    this.programs.set(versionId, read);
    read.catch(() => this.programs.delete(versionId));
    return read;
  }

  private async read(versionId: string): Promise<Program> {
    const [row] = await this.database.prepared<VersionRow>(
      'read_program',
      'SELECT kind, source FROM transformation_versions WHERE id = $1',
      [versionId],
    );
    // Removed since the delivery was read: whoever reads it again sees so.
    if (!row) throw new Error('the transformation was removed a moment ago');
    return programOf(row);
  }
}

function stepOf({ url, signing }: ToTransform, result: JobResult): Step {
  const { durationMs } = result;
  const failed = (detail: string): Step => ({ kind: 'failed', code: 'transform_error', detail, durationMs });
  if (!result.ok) return failed(result.detail);
  if (result.transformed === null) return { kind: 'dropped' };
  try {
    return {
      kind: 'changed',
      ...checkChange({ url, taken: [(signing ?? STANDARD).header] }, result.transformed),
    };
  } catch (error) {
    if (error instanceof TransformError) return failed(error.message);
    throw error;
  }
}
