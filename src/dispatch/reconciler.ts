import { Inject, Injectable } from '@nestjs/common';
import { type WorkflowHandle, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Logger } from 'pino';
import {
  cancelSignal,
  type DeliveryInput,
  holdSignal,
  paceSignal,
  releaseSignal,
  type RetryRefusal,
  retryNowUpdate,
  type Trigger,
} from '../../workflows/contracts.js';
import type { PriorityLevel } from '../common/priority.js';
import { Rounds } from '../common/rounds.js';
import { Database, isUnavailable } from '../database/database.js';
import { isOpen } from '../deliveries/delivery-rows.js';
import { type DeliveryStatus, HOLDS, Loader, RETRY_GRACE } from '../deliveries/loader.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable, refusesAll, Temporal } from '../temporal/temporal.js';
import { type DeliveryRef, DeliveryStarter, workflowIdOf } from './delivery-starter.js';
import { UNTRIED } from './untried.js';

const SWEEP_EVERY_MS = 1_000;
const MAX_CLAIMED = 500;
/** Of these, those that came due last: who has one to be told of need not wait behind the hundred thousand of another. */
const NEWEST = 100;
/** Few: what is done here was late already, and fresh deliveries need the engine too. */
const CONCURRENCY = 8;
/** Seconds for which a claimed delivery is left to the process that claimed it. */
const CLAIM_SECONDS = 15;
/** For how long what was claimed together is begun: another process may have the rest then, and do it a second time. */
const SETTLE_WITHIN_MS = 10_000;
/** Seconds until a delivery whose workflow runs as it should is looked at again, or later, once its next attempt should be made. */
const RUNNING_SECONDS = 60;
/** Longer than a signal takes that nobody has waited for: it may have held what was just released. */
const RELEASED_SECONDS = 15;
const TELL_WITHIN_MS = 5_000;
/** Seconds until a workflow that was too busy to answer is asked again. */
const BUSY_SECONDS = 5;

/** What a delivery's workflow must still be told, when it runs. */
export type Tell = 'hold' | 'release' | 'cancel' | 'retry' | 'pace';

/**
 * Makes Temporal agree with the record. Whatever was begun, is due in PostgreSQL and has no workflow gets one, at the
 * attempt it had reached; whatever a workflow was to be told is told, however long Temporal was away. Any number of processes run
 * one: a claim keeps two from taking the same delivery, and a workflow's id keeps even that from doubling it.
 */
@Injectable()
export class Reconciler {
  private readonly rounds = new Rounds(() => this.sweepAll(), SWEEP_EVERY_MS);
  private complained = false;

  constructor(
    private readonly database: Database,
    private readonly temporal: Temporal,
    private readonly starter: DeliveryStarter,
    private readonly loader: Loader,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.rounds.open(false);
    this.temporal.ready().then(
      () => this.nudge(),
      () => undefined,
    );
  }

  close(): Promise<void> {
    return this.rounds.close();
  }

  /** Something has just become due: look now. */
  nudge(): void {
    this.rounds.nudge();
  }

  private async sweepAll(): Promise<void> {
    try {
      while (!this.rounds.closed && (await this.sweep()) === MAX_CLAIMED);
      this.complained = false;
    } catch (error) {
      if (!this.complained)
        this.logger.warn({ err: error }, 'deliveries that are due wait for PostgreSQL or Temporal');
      this.complained = true;
      if (!isUnavailable(error) && !isTemporalUnavailable(error))
        this.logger.error({ err: error }, 'the reconciler failed');
    }
  }

  /** @returns how many deliveries were claimed */
  private async sweep(): Promise<number> {
    // Without Temporal a claim would only push back what is due.
    await this.temporal.ping();
    const untilMs = performance.now() + SETTLE_WITHIN_MS;
    const claimed = await this.database.prepared<ClaimedDelivery>('claim_due', CLAIM_DUE, [
      MAX_CLAIMED - NEWEST,
      NEWEST,
    ]);
    const started = claimed.filter((row) => row.attempt_count > 0).map((row) => row.id);
    const attempts = started.length > 0 ? await this.loader.attempts(started) : new Map<string, never>();
    const queue = claimed.values();
    const round = { unanswered: 0 };
    let failure: Error | undefined;
    const work = async () => {
      for (const row of queue) {
        if (failure !== undefined || performance.now() > untilMs) return;
        try {
          await this.settle(row, fromRecord(row, attempts.get(row.id) ?? []), round);
        } catch (error) {
          if (isUnavailable(error) || isTemporalUnavailable(error))
            failure ??= error instanceof Error ? error : new Error(String(error));
          else this.logger.error({ err: error, deliveryId: row.id }, 'the reconciler failed; it tries again');
        }
      }
    };
    // Whatever is left, when one cannot be reached or time is up, comes due again when its claim ends, as does what fails by itself.
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    if (failure !== undefined) throw failure;
    return claimed.length;
  }

  /** @param round workflows that have not answered in it: where they are many, no more are asked */
  private async settle(
    row: ClaimedDelivery,
    from: DeliveryInput['from'],
    round: { unanswered: number },
  ): Promise<void> {
    const ref = toRef(row);
    switch (row.tell) {
      case 'cancel':
        await this.tellIfRunning(ref, (handle) =>
          handle.signal(cancelSignal, row.status_reason ?? 'cancelled'),
        );
        await this.told(row, null);
        return;
      case 'pace':
        await this.tellIfRunning(ref, (handle) => handle.signal(paceSignal));
        await this.told(row, RUNNING_SECONDS);
        return;
      case 'hold':
        await this.tellIfRunning(ref, (handle) => handle.signal(holdSignal));
        if (!(await this.told(row, null))) await this.releaseUnlessHeld(ref);
        return;
      case 'release':
        await this.starter.release(ref, from);
        await this.told(row, RELEASED_SECONDS);
        return;
      case 'retry':
        // It was tried since, and ended: who wants it again makes it pending first.
        if (!isOpen(row.status)) {
          await this.told(row, null);
          return;
        }
        if (round.unanswered >= CONCURRENCY) return this.askAgain(row, BUSY_SECONDS);
        switch (await this.retryNow(ref, recordedOf(row))) {
          case 'not_running':
            // One that began in between knows nothing of the wish: it is asked again.
            if (!(await this.starter.start(ref, { eager: false, from }))) return this.askAgain(row);
            await this.told(row, RUNNING_SECONDS);
            return;
          case 'told':
            await this.told(row, RUNNING_SECONDS);
            return;
          case 'delivery_held':
            if (row.status !== 'held') await this.releaseIfRunning(ref);
            return this.askAgain(row);
          case 'attempt_in_progress':
          case 'delivery_ended':
            // Its last run is ending, or an attempt is: the wish stands.
            return this.askAgain(row);
          case 'unanswered':
            round.unanswered += 1;
            return this.askAgain(row, BUSY_SECONDS);
        }
      case null:
        break;
    }
    switch (row.status) {
      case 'pending':
      case 'retrying':
        if (await this.starter.start(ref, { eager: false, from })) return;
        await this.releaseIfRunning(ref);
        await this.told(row, RUNNING_SECONDS);
        return;
      case 'held':
        return row.waits ? this.rest(row) : this.release(row);
      case 'delivered':
      case 'failed':
      case 'cancelled':
      case 'skipped':
        await this.told(row, null);
    }
  }

  /**
   * Cuts a backoff short.
   *
   * @param recorded as {@link recordedOf} has it
   * @returns what the workflow said; `unanswered` where it is busy, or Temporal takes nothing
   */
  async retryNow(
    ref: RunningRef,
    recorded: number,
  ): Promise<'told' | 'not_running' | 'unanswered' | RetryRefusal> {
    try {
      await this.temporal.callWorker(TELL_WITHIN_MS, (client) =>
        client.workflow.getHandle(workflowIdOf(ref)).executeUpdate(retryNowUpdate, { args: [recorded] }),
      );
      return 'told';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'not_running';
      if (!(error instanceof WorkflowUpdateFailedError)) {
        if (refusesAll(error)) return 'unanswered';
        throw error;
      }
      const { cause } = error;
      return cause instanceof ApplicationFailure ? (cause.type as RetryRefusal) : 'delivery_ended';
    }
  }

  /** @param signal sends it */
  private async tellIfRunning(
    ref: RunningRef,
    signal: (handle: WorkflowHandle) => Promise<void>,
  ): Promise<boolean> {
    try {
      await this.temporal.call(TELL_WITHIN_MS, (client) =>
        signal(client.workflow.getHandle(workflowIdOf(ref))),
      );
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  /**
   * @param againInSeconds null when nothing more is owed; what it is to be told next is told at once
   * @returns false where the record has changed since the claim
   */
  private async told(row: ClaimedDelivery, againInSeconds: number | null): Promise<boolean> {
    const told = await this.database.prepared('told', TOLD, [
      row.id,
      row.tell,
      againInSeconds,
      row.status,
      row.due_at,
    ]);
    return told.length > 0;
  }

  /** We were slow: another process may have told its workflow of the pause's end before we told it of the pause. */
  private async releaseUnlessHeld(ref: RunningRef): Promise<void> {
    const held = await this.database.prepared(
      'is_held',
      `SELECT id FROM deliveries WHERE id = $1 AND status = 'held'`,
      [ref.deliveryId],
    );
    if (held.length === 0) await this.releaseIfRunning(ref);
  }

  /**
   * The record does not hold it. A process that told its workflow of a pause too late may have ended before it could see that.
   * Whoever is released too often loses nothing: an attempt looks at the record.
   */
  private releaseIfRunning(ref: RunningRef): Promise<boolean> {
    return this.tellIfRunning(ref, (handle) => handle.signal(releaseSignal));
  }

  /** Nothing is owed to it until its endpoint is resumed; one that is just being resumed may not have seen it. */
  private async rest(row: ClaimedDelivery): Promise<void> {
    await this.database.prepared(
      'rest_held',
      `WITH waits AS (
         SELECT FROM endpoints e WHERE id = $2 AND ${HOLDS} FOR SHARE SKIP LOCKED
       )
       UPDATE deliveries SET due_at = CASE WHEN NOT EXISTS (SELECT FROM waits) THEN now() + interval '1 second' END
        WHERE id = $1 AND tell IS NULL AND status = 'held' AND due_at = $3`,
      [row.id, row.endpoint_id, row.due_at],
    );
  }

  private async askAgain(row: ClaimedDelivery, inSeconds = 1): Promise<void> {
    await this.database.prepared(
      'ask_again',
      `UPDATE deliveries SET due_at = now() + $3 * interval '1 second' WHERE id = $1 AND due_at = $2`,
      [row.id, row.due_at, inSeconds],
    );
  }

  /** Held by a publish that ran while the endpoint was being resumed, disabled or deleted. */
  private async release(row: ClaimedDelivery): Promise<void> {
    await this.database.prepared(
      'release_delivery',
      `UPDATE deliveries SET status = CASE WHEN attempt_count > budget_start THEN 'retrying' ELSE 'pending' END,
         status_reason = NULL, tell = CASE WHEN express THEN NULL ELSE 'release' END, due_at = now()
        WHERE id = $1 AND status = 'held'`,
      [row.id],
    );
    this.nudge();
  }
}

/** One that is released after its backoff is tried at once: it need not be told of a wish that it be. */
const NEXT = `CASE WHEN status IN ('pending', 'retrying')
  AND (tell = 'release' AND tell_next = 'retry' AND next_attempt_at <= now()) IS NOT TRUE THEN tell_next END`;
const TOLD = `
  UPDATE deliveries SET tell = ${NEXT}, tell_next = CASE WHEN status = 'held' THEN tell_next END,
      next_attempt_at = CASE ${NEXT} WHEN 'retry' THEN now() ELSE next_attempt_at END,
      due_at = CASE WHEN ${NEXT} IS NOT NULL THEN now()
        ELSE greatest(now() + $3 * interval '1 second',
          CASE WHEN $3 IS NOT NULL THEN next_attempt_at + interval '${RETRY_GRACE} seconds' END) END
    WHERE id = $1 AND tell IS NOT DISTINCT FROM $2 AND status = $4 AND due_at = $5 RETURNING id`;

/** How many attempts the record has where it says that another will follow; 0 for one that is sent again from the start. */
export const recordedOf = (row: { status: string; attempt_count: number }): number =>
  row.status === 'retrying' ? row.attempt_count : 0;

type RunningRef = Pick<DeliveryRef, 'deliveryId' | 'eventId' | 'endpointId'>;

export interface ClaimedDelivery {
  id: string;
  account_id: string;
  event_id: string;
  endpoint_id: string;
  event_type: string;
  status: DeliveryStatus;
  status_reason: string | null;
  tell: Tell | null;
  attempt_count: number;
  budget_start: number;
  next_trigger: Trigger;
  next_attempt_at: Date | null;
  due_at: string;
  url: string;
  /** Whether its endpoint holds its deliveries. One that is over holds nothing: an attempt ends what goes to it. */
  waits: boolean;
  priority: PriorityLevel;
}

const DUE = `due_at <= now() AND NOT (${UNTRIED})`;
/**
 * Claims $1 and $2 of them, the oldest and the newest. Their `due_at` comes as text: a JavaScript date would cut its
 * microseconds and never compare equal again.
 */
export const CLAIM_DUE = `
  WITH oldest AS (
    SELECT id FROM deliveries d WHERE ${DUE} ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
  ), newest AS (
    SELECT id FROM deliveries d WHERE ${DUE} AND (SELECT count(*) FROM oldest) = $1
    ORDER BY due_at DESC LIMIT $2 FOR UPDATE SKIP LOCKED
  ), due AS (
    SELECT id FROM oldest UNION SELECT id FROM newest
  )
  UPDATE deliveries d SET due_at = now() + interval '${CLAIM_SECONDS} seconds'
    FROM due, endpoints e WHERE d.id = due.id AND e.id = d.endpoint_id
  RETURNING d.id, d.account_id, d.event_id, d.endpoint_id, d.event_type, d.status, d.status_reason, d.tell,
    d.attempt_count, d.budget_start, d.next_trigger, d.next_attempt_at, d.due_at::text, d.priority, e.url,
    ${HOLDS} AS waits`;

const toRef = (row: ClaimedDelivery): DeliveryRef => ({
  deliveryId: row.id,
  accountId: row.account_id,
  eventId: row.event_id,
  endpointId: row.endpoint_id,
  eventType: row.event_type,
  url: row.url,
  priority: row.priority,
});

/** Histories carry this many of the latest attempts from run to run; PostgreSQL shows them all. */
const MAX_CARRIED = 100;

/** How a new run goes on from the record; undefined for a delivery that nobody has tried yet. */
export function fromRecord(
  row: Pick<ClaimedDelivery, 'attempt_count' | 'budget_start' | 'next_trigger' | 'next_attempt_at'>,
  attempts: NonNullable<DeliveryInput['from']>['attempts'],
): DeliveryInput['from'] {
  if (row.attempt_count === 0 && row.next_trigger === 'schedule') return undefined;
  return {
    attempts: attempts.slice(-MAX_CARRIED),
    budgetStart: row.budget_start,
    dueInMs: Math.max(0, (row.next_attempt_at?.getTime() ?? 0) - Date.now()),
    trigger: row.next_trigger,
  };
}
