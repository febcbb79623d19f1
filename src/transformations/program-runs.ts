import { Inject, Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import { Problem } from '../common/problems.js';
import { envelopeOf } from '../messages/envelope.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { JobResult } from './run.js';
import { Sandbox, SandboxBusyError } from './sandbox.js';
import type { Program, TransformationInput } from './transformation.js';
import type { Waiting } from './turns.js';

/** Room for what a transformation adds to an event. */
const BODY_BYTES_BESIDE = 16 * 1024;
const COME_BACK_SECONDS = 5;

/** Whose program it is. All UUIDs. */
export interface Owner {
  accountId: string;
  endpointId: string;
  url: string;
}

/** An event as a program sees it. */
export interface SeenEvent {
  /** `evt_…` */
  id: string;
  occurredAt: Date;
  /** JSON text, as it would be sent. */
  text: string;
}

/** @param context JSON text of what stands beside the data; null for nothing */
export function seenEvent(
  {
    event_id,
    type,
    version,
    occurred_at: occurredAt,
    data,
  }: { event_id: string; type: string; version: string; occurred_at: Date; data: string },
  context: string | null,
): SeenEvent {
  const id = toId('event', event_id);
  const timestamp = occurredAt.toISOString();
  return { id, occurredAt, text: envelopeOf({ id, type, version, timestamp }, data, context) };
}

/** Runs programs for people who wait for the answer. */
@Injectable()
export class ProgramRuns {
  private readonly maxBodyBytes: number;

  constructor(
    private readonly sandbox: Sandbox,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.maxBodyBytes = settings.EVENT_BYTES + BODY_BYTES_BESIDE;
  }

  /** @throws SandboxBusyError when nothing was run */
  run(program: Program, owner: Owner, event: SeenEvent): Promise<JobResult> {
    return this.sandbox.run({ kind: 'run', program, input: this.inputOf(owner, event) }, owner);
  }

  /**
   * Data in the place of an event, and what comes back is data.
   *
   * @param owner who waits for it, and by what the program is known
   * @param event its text is the data
   * @throws SandboxBusyError when nothing was run
   */
  convert(program: Program, owner: Waiting, { id, occurredAt, text }: SeenEvent): Promise<JobResult> {
    const input = {
      event: text,
      eventId: id,
      nowMs: occurredAt.getTime(),
      endpoint: { id: '', url: '' },
      maxBodyBytes: this.maxBodyBytes,
    };
    return this.sandbox.run({ kind: 'convert', program, input }, owner);
  }

  /** Whether it can be loaded. @throws Problem `unavailable` */
  check(program: Program, owner: Owner): Promise<JobResult> {
    const input = this.inputOf(owner, { id: '', occurredAt: new Date(0), text: '{}' });
    return forPeople(this.sandbox.run({ kind: 'check', program, input }, owner));
  }

  /** @throws Problem `unavailable` */
  try(program: Program, owner: Owner, event: SeenEvent): Promise<JobResult> {
    return forPeople(this.run(program, owner, event));
  }

  private inputOf({ endpointId, url }: Owner, event: SeenEvent): TransformationInput {
    return {
      event: event.text,
      eventId: event.id,
      nowMs: event.occurredAt.getTime(),
      endpoint: { id: toId('endpoint', endpointId), url },
      maxBodyBytes: this.maxBodyBytes,
    };
  }
}

/** @throws Problem `unavailable` */
export async function forPeople(running: Promise<JobResult>): Promise<JobResult> {
  try {
    return await running;
  } catch (error) {
    if (!(error instanceof SandboxBusyError)) throw error;
    throw new Problem('unavailable', 'Too many transformations and conversions wait to be run.', {
      retryAfterSeconds: COME_BACK_SECONDS,
    });
  }
}
