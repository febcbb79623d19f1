import { Inject, Injectable } from '@nestjs/common';
import type { AttemptRequest, AttemptResult, AttemptSummary } from '../../workflows/contracts.js';
import { classifyAnswer } from '../../workflows/outcomes.js';
import { decide, type Decision, type FailureReason, spend } from '../../workflows/schedule.js';
import { BatchContents, type Filling } from '../batches/batch-contents.js';
import { BatchResults, type Judged } from '../batches/batch-results.js';
import { toId } from '../common/ids.js';
import { steadyMs } from '../common/steady-clock.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { EndpointSender, type Sent } from '../endpoints/endpoint-sender.js';
import { delaysOf } from '../endpoints/retry-schedule.js';
import { EndpointOutcomes } from '../endpoint-health/endpoint-outcomes.js';
import { takesArrays } from '../messages/array.js';
import { Composer } from '../messages/composer.js';
import type { Message } from '../messages/message.js';
import { Shaper, type ShapeStep } from '../messages/shaper.js';
import { EventCatalogue } from '../event-types/event-catalogue.js';
import { EventTypeUsage } from '../event-types/event-type-usage.js';
import { Metrics } from '../metrics/metrics.js';
import type { Met } from '../pacing/endpoint-pace.js';
import { Pacer, STALE_AFTER_MS } from '../pacing/pacer.js';
import { RetryBudget } from '../pacing/retry-budget.js';
import { RetrySpread } from '../pacing/retry-spread.js';
import { AccountPlans } from '../plans/account-plans.js';
import { withinPlan } from '../plans/plan.js';
import type { PlanLimits } from '../plans/plans.schema.js';
import { MULTI_STATUS } from '../transport/response.js';
import { type AttemptEnd, crowdedOutBy, describeAttempt, notSent } from './attempt-end.js';
import { LargeRoom } from './large-room.js';
import {
  isBatch,
  isUnread,
  LARGE_BYTES,
  type Loaded,
  type LoadedAttempt,
  type LoadedBatch,
  type LoadedDelivery,
  Loader,
  type UnreadDelivery,
} from './loader.js';
import { Recorder } from './recorder.js';

/** How long an attempt waits for its record before somebody else takes that over. */
const RECORD_WITHIN_MS = 5_000;
/** Least wait of an attempt that found no room for its data. */
const NO_ROOM_WAIT_MS = 1_000;

/** Makes attempts, the same way in every lane: load, check, pace, sign, send, decide, record. */
@Injectable()
export class Attempter {
  private readonly spread: RetrySpread;
  private readonly retries = new RetryBudget();
  private readonly largeRoom = new LargeRoom();

  constructor(
    private readonly loader: Loader,
    private readonly recorder: Recorder,
    private readonly pacer: Pacer,
    private readonly metrics: Metrics,
    private readonly composer: Composer,
    private readonly sender: EndpointSender,
    private readonly outcomes: EndpointOutcomes,
    private readonly plans: AccountPlans,
    private readonly catalogue: EventCatalogue,
    private readonly usage: EventTypeUsage,
    private readonly shaper: Shaper,
    private readonly contents: BatchContents,
    private readonly results: BatchResults,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    const { RETRIES_PER_SECOND: all } = settings;
    this.spread = new RetrySpread({
      all,
      endpoint: Math.ceil(all / 2),
      outage: Math.ceil(all / 4),
      few: Math.floor(all / 4),
    });
  }

  /**
   * Makes one attempt, unless it was made before, the record forbids it, or the endpoint's pace has no room for it.
   *
   * @param deliveryId UUID
   * @param lease of the process that makes it without a workflow
   * @throws for failures of ours, before anything was sent; once a request is out, only where the answer to a batch speaks of
   * its events one by one and cannot be kept
   */
  async attempt(deliveryId: string, request: AttemptRequest, lease?: string | null): Promise<AttemptResult> {
    try {
      for (;;) {
        const delivery = await this.loader.load(deliveryId);
        if (!delivery) return ERASED;
        // Somebody else has it now: it was held and released, or this process was taken for dead.
        if (lease !== undefined && (lease === null || delivery.lease !== lease || !delivery.express))
          return { kind: 'held' };
        const { limits } =
          this.plans.known(delivery.account_id) ?? (await this.plans.load(delivery.account_id));
        const done =
          (await this.madeBefore(delivery, request, limits)) ?? (await this.bar(delivery, request));
        if (done === 'resumed') continue;
        if (done) return done;
        const pace = this.pacer.learn(delivery.endpoint_id, delivery, {
          id: delivery.account_id,
          mostInFlight: limits.maxInFlight,
        });
        const since = performance.now();
        if (this.isLarge(delivery) && !(await this.largeRoom.enter(delivery))) {
          this.metrics.foundNoRoom();
          const now = steadyMs();
          const waitMs = pace.spaced(now, NO_ROOM_WAIT_MS) - now;
          return { kind: 'deferred', waitMs, crowdedOut: request.crowdedOut ?? 0 };
        }
        // It may have been cancelled while it waited for room.
        if (performance.now() - since > STALE_AFTER_MS) continue;
        const waitMs = this.waitOf(delivery, request);
        if (waitMs > 0) return { kind: 'deferred', waitMs };
        const admission = await this.pacer.admit(delivery.id, pace, request.slotAtMs);
        switch (admission.kind) {
          case 'go': {
            const whole = isUnread(delivery) ? await this.read(delivery) : delivery;
            return whole ? await this.make(whole, request, limits) : ERASED;
          }
          case 'deferred':
            return admission;
          case 'look_again':
        }
      }
    } finally {
      this.leave(deliveryId, null);
    }
  }

  /** It takes no place and no room any more. @param met null when nothing was sent */
  private leave(deliveryId: string, met: Met | null): void {
    this.largeRoom.leave(deliveryId);
    this.pacer.leave(deliveryId, met);
  }

  private isLarge(delivery: Loaded): boolean {
    return delivery.bytes > LARGE_BYTES && (isBatch(delivery) || this.shaper.needsData(delivery));
  }

  /** @returns null when its event was erased */
  private async read(delivery: UnreadDelivery): Promise<LoadedDelivery | null> {
    return this.shaper.needsData(delivery) ? this.loader.whole(delivery) : { ...delivery, data: UNSEEN };
  }

  /** What a mass of failed deliveries of one account adds to the cost of its fresh ones is bounded. */
  private waitOf(delivery: LoadedAttempt, { number, trigger, slotAtMs }: AttemptRequest): number {
    // Who asks for it by hand waits for nobody, and the one that is tried decides over all that are held.
    if (number === 1 || trigger !== 'schedule' || delivery.probe) return 0;
    // It had its turn before it was given a moment of its endpoint's rate, which would be lost.
    if (slotAtMs !== undefined) return 0;
    return this.retries.admit(delivery.account_id, delivery.id, steadyMs());
  }

  private async madeBefore(
    delivery: LoadedAttempt,
    request: AttemptRequest,
    limits: PlanLimits,
  ): Promise<AttemptResult | null> {
    if (delivery.attempt_count < request.number) return null;
    const [attempts] = (await this.loader.attempts([delivery.id])).values();
    const attempt = attempts?.find(({ number }) => number === request.number);
    if (!attempt) return null;
    const decision = asDecided(delivery, Date.now());
    return { kind: 'made', attempt, decision, attemptsMax: attemptsMax(delivery, limits), recorded: true };
  }

  /** Whether the record forbids an attempt: the delivery is over or held, or its endpoint is disabled or deleted. */
  private async bar(
    delivery: Loaded,
    { trigger }: AttemptRequest,
  ): Promise<AttemptResult | 'resumed' | null> {
    switch (delivery.status) {
      case 'delivered':
      case 'failed':
      case 'cancelled':
      case 'skipped':
        return { kind: 'ended', status: delivery.status, reason: delivery.status_reason };
      case 'pending':
      case 'retrying':
      case 'held':
        break;
    }
    if (delivery.deleted) {
      await this.loader.end(delivery, 'cancelled', 'endpoint_deleted');
      return { kind: 'ended', status: 'cancelled', reason: 'endpoint_deleted' };
    }
    if (delivery.disabled) {
      await this.loader.end(delivery, 'skipped', 'endpoint_disabled');
      return { kind: 'ended', status: 'skipped', reason: 'endpoint_disabled' };
    }
    if (!isBatch(delivery) && this.pinOf(delivery) === 'stopped') {
      await this.loader.end(delivery, 'skipped', 'version_sunset');
      return { kind: 'ended', status: 'skipped', reason: 'version_sunset' };
    }
    // A test is to show how the receiver is now, and says nothing about the circuit; who asks by hand waits for nobody.
    const passesCircuit = delivery.probe || delivery.test || trigger === 'manual';
    if (delivery.held_reason !== null && !(passesCircuit && delivery.held_reason === 'circuit_open'))
      return (await this.loader.hold(delivery)) ? { kind: 'held' } : 'resumed';
    return null;
  }

  private async make(
    delivery: LoadedDelivery | LoadedBatch,
    request: AttemptRequest,
    limits: PlanLimits,
  ): Promise<AttemptResult> {
    const shaping = isBatch(delivery) ? this.contents.fill(delivery) : this.shaper.shape(delivery);
    const step = shaping && (await shaping);
    if (step?.kind === 'busy')
      return { kind: 'deferred', waitMs: step.waitMs, crowdedOut: request.crowdedOut ?? 0 };
    if (step?.kind === 'dropped') {
      this.retries.made(delivery.id);
      await this.loader.end(delivery, 'skipped', 'transform_dropped');
      return { kind: 'ended', status: 'skipped', reason: 'transform_dropped' };
    }
    if (step?.kind === 'emptied') {
      this.retries.made(delivery.id);
      return { kind: 'ended', status: step.status, reason: step.reason };
    }
    const startedAtMs = Date.now();
    const { isBusy } = this.pacer;
    const { result, request: shown } =
      step?.kind === 'failed' ? notSent(step) : await this.send(delivery, step, startedAtMs);
    const crowdedOut = crowdedOutBy(result, request);
    if (crowdedOut) {
      this.metrics.crowdedOut();
      return crowdedOut;
    }
    if (request.number === 1) {
      this.retries.first(delivery.account_id, steadyMs());
      this.countUsage(delivery, step);
    } else this.retries.made(delivery.id);
    const judging = this.judge(delivery, step, result);
    const judged = judging && (await judging);
    const nowMs = Date.now();
    const { attempt, details, retryAfterMs } = describeAttempt(
      request,
      startedAtMs,
      shown,
      result,
      nowMs,
      judged,
    );
    const asked = { durationMs: result.durationMs, failed: !result.ok && attempt.outcome === 'transient' };
    this.leave(delivery.id, attempt.outcome === 'transform' ? null : asked);
    this.metrics.attempted(attempt.outcome, attempt.durationMs);
    if (retryAfterMs !== undefined) this.pacer.quiet(delivery.endpoint_id, steadyMs() + retryAfterMs);
    let decision = decide({
      budget: spend(request.budget, attempt),
      outcome: attempt.outcome,
      startedAtMs,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      schedule: withinPlan(delaysOf(delivery.retry_schedule), limits),
      jitter: request.jitter,
    });
    if (decision.kind === 'retry') {
      const inOutage = this.pacer.of(delivery.endpoint_id).inOutage;
      const loadMs = isBusy ? (limits.retryDelayUnderLoadSeconds ?? 0) * 1000 : 0;
      const delayMs = this.spread.place(delivery, decision.delayMs + loadMs, steadyMs(), inOutage);
      decision = { kind: 'retry', delayMs };
    }
    if (!delivery.test || delivery.probe)
      this.outcomes.note(delivery.endpoint_id, delivery.id, forHealth(attempt, judged), decision);
    const written = this.recorder.record(delivery.id, attempt, decision, { ...details, retryAfterMs });
    const recorded = await within(RECORD_WITHIN_MS, written);
    return { kind: 'made', attempt, decision, attemptsMax: attemptsMax(delivery, limits), recorded };
  }

  private send(
    delivery: LoadedDelivery | LoadedBatch,
    step: Sendable | null,
    startedAtMs: number,
  ): Promise<Sent> {
    const id = isBatch(delivery) ? toId('message', delivery.message_id) : toId('event', delivery.event_id);
    const send = (message: Message) => this.sender.send(delivery, id, message, startedAtMs);
    const composed = this.compose(delivery, step, startedAtMs);
    return composed instanceof Promise ? composed.then(send) : send(composed);
  }

  private compose(
    delivery: LoadedDelivery | LoadedBatch,
    step: Sendable | null,
    startedAtMs: number,
  ): Message | Promise<Message> {
    if (!isBatch(delivery)) return this.composer.compose(delivery, shapeOf(step), startedAtMs);
    return this.composer.composeArray(itemsOf(step), delivery.url, startedAtMs);
  }

  /** @returns null for an answer that speaks of all that was sent */
  private judge(
    delivery: LoadedDelivery | LoadedBatch,
    step: Made | null,
    result: AttemptEnd,
  ): Judged | Promise<Judged> | null {
    if (!result.ok || result.response.statusCode !== MULTI_STATUS) return null;
    // Whoever wants no more deliveries says so with any status.
    if (classifyAnswer(result.response, Date.now()).outcome !== 'delivered') return null;
    if (isBatch(delivery)) return this.results.ofBatch(delivery, itemsOf(step), result.response);
    return takesArrays(delivery) ? this.results.ofOne(delivery.event_id, result.response) : null;
  }

  private countUsage(delivery: LoadedDelivery | LoadedBatch, step: Made | null): void {
    const events = isBatch(delivery) ? itemsOf(step).map((item) => item.delivery) : [delivery];
    for (const event of events) this.usage.delivered(event.type, this.shaper.versionOf(event));
  }

  private pinOf({ type, pinned_version }: Pick<LoadedDelivery, 'type' | 'pinned_version'>) {
    return this.catalogue.pinOf(type, pinned_version);
  }
}

/** In the place of data that nobody looks at. */
const UNSEEN = 'null';

const ERASED: AttemptResult = { kind: 'ended', status: 'erased', reason: null };

/** What an attempt has to send, or that there is nothing. */
type Made = ShapeStep | Filling;
type Sendable = Extract<Made, { kind: 'shaped' | 'filled' }>;

const shapeOf = (step: Sendable | null) => (step?.kind === 'shaped' ? step : null);

const itemsOf = (step: Made | null) => (step?.kind === 'filled' ? step.items : []);

/** Whoever has taken a part of a batch is well. */
const forHealth = (attempt: AttemptSummary, judged: Judged | null): AttemptSummary =>
  judged?.tookSome ? { ...attempt, outcome: 'delivered' } : attempt;

const attemptsMax = (delivery: LoadedAttempt, limits: PlanLimits): number =>
  withinPlan(delaysOf(delivery.retry_schedule), limits).length + 1;

/** What was decided when the attempt was recorded, read back from the record. */
function asDecided(delivery: LoadedAttempt, nowMs: number): Decision {
  switch (delivery.status) {
    case 'delivered':
      return { kind: 'delivered' };
    case 'failed':
      return { kind: 'failed', reason: (delivery.status_reason ?? 'exhausted') as FailureReason };
    case 'pending':
    case 'retrying':
    case 'held':
    case 'cancelled':
    case 'skipped':
      return { kind: 'retry', delayMs: Math.max(0, (delivery.next_attempt_at?.getTime() ?? nowMs) - nowMs) };
  }
}

/** True when `work` succeeded in time; false when it failed or is still going on. */
async function within(limitMs: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  try {
    return await Promise.race([
      work.then(
        () => true,
        () => false,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
