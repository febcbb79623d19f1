import {
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  patched,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type AttemptRequest,
  type AttemptResult,
  cancelSignal,
  type DeliveryActivities,
  type DeliveryInput,
  type DeliveryLog,
  type DeliveryResult,
  holdSignal,
  logQuery,
  paceSignal,
  releaseSignal,
  type RetryRefusal,
  retryNowUpdate,
  STATE_ATTRIBUTE,
  type Trigger,
} from './contracts.js';
import { describeDelivery } from './details.js';
import { spend, UNSPENT } from './schedule.js';

// Longer than any endpoint's deadline (30 s), what shaping a batch may take (20 s and its last event), and loading and recording.
const ATTEMPT_TIMEOUT = '120s';

// The first attempt costs no task queue and no second round trip, but keeps a workflow task open, which queries and
// updates wait for. A failure of ours is tried again here for a moment only; what lasts longer is waited out by the
// activity below.
const { attemptDelivery: attemptLocally } = proxyLocalActivities<DeliveryActivities>({
  startToCloseTimeout: ATTEMPT_TIMEOUT,
  retry: { initialInterval: '100ms', maximumInterval: '500ms', maximumAttempts: 3 },
});

const activities = proxyActivities<DeliveryActivities>({
  startToCloseTimeout: ATTEMPT_TIMEOUT,
  heartbeatTimeout: '10s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s' },
});

/** The reason of a delivery whose workflow was cancelled from outside Posthorn. */
const CANCELLED_IN_TEMPORAL = 'cancelled_in_temporal';

/** What signals and updates have asked for and the loop has not yet answered. */
interface Asked {
  held: boolean;
  released: boolean;
  retry: boolean;
  pace: boolean;
  cancel: string | null;
}

/**
 * Delivers one event to one endpoint: attempts, backs off for days, and can be asked, retried, held and cancelled
 * all the while. Ends as Completed when delivered, Failed with the reason when given up, Cancelled when cancelled.
 */
export async function delivery(input: DeliveryInput): Promise<DeliveryResult> {
  const { deliveryId, from } = input;
  const attempts = [...(from?.attempts ?? [])];
  const budgetStart = from?.budgetStart ?? 0;
  const now: DeliveryLog = {
    state: 'waiting',
    attempts,
    nextAttemptAtMs: from && from.dueInMs > 0 ? Date.now() + from.dueInMs : null,
  };
  const asked: Asked = { held: false, released: false, retry: false, pace: false, cancel: null };
  let trigger: Trigger = from?.trigger ?? 'schedule';
  let attemptsMax: number | null = null;
  let local = input.slow !== true;
  let indexed: string | null = null;
  /** Set while the next attempt waits for the endpoint's pace, and not for its own backoff. */
  let deferred: { slotAtMs?: number } | null = from?.deferred ?? null;
  /** How many attempts the record had when a retry was asked for: the wish is for one after these. */
  let retryAfter = 0;
  /** How often the next attempt was put off because connections of our own crowded its host. */
  let crowdedOut = from?.crowdedOut ?? 0;

  const show = () => {
    setCurrentDetails(describeDelivery(now, attemptsTotal()));
  };
  const index = (value: 'retrying' | 'held') => {
    if (indexed === value) return;
    indexed = value;
    upsertSearchAttributes([{ key: STATE_ATTRIBUTE, value }]);
  };
  // By number, not by count: what is carried from a long record is its latest attempts alone.
  const made = () => attempts.at(-1)?.number ?? 0;
  const nextNumber = () => made() + 1;
  /** Attempts of earlier runs included; null until an attempt has said what the schedule allows. */
  const attemptsTotal = () =>
    attemptsMax === null ? null : Math.max(attemptsMax + budgetStart, nextNumber());
  const attemptTitle = () => {
    const total = attemptsTotal();
    return total === null ? `attempt ${nextNumber()}` : `attempt ${nextNumber()} of ${total}`;
  };

  setHandler(logQuery, () => now, {
    description: 'All attempts, and the next one',
  });
  setHandler(
    holdSignal,
    () => {
      asked.held = true;
      asked.released = false;
    },
    { description: 'Start no attempt until released' },
  );
  setHandler(
    releaseSignal,
    () => {
      asked.held = false;
      asked.released = true;
    },
    { description: 'Go on after a hold' },
  );
  // An attempt that is under way may have been deferred already, at the old pace.
  setHandler(paceSignal, () => void (asked.pace = deferred !== null || now.state === 'attempting'), {
    description: "The endpoint's pace was changed",
  });
  setHandler(cancelSignal, (reason) => void (asked.cancel ??= reason), {
    description: 'End without another attempt',
  });
  setHandler(
    retryNowUpdate,
    (recorded = 0) => {
      asked.retry = true;
      retryAfter = Math.max(retryAfter, recorded);
      return { attempt: Math.max(made(), recorded) + 1 };
    },
    {
      description: 'Cut the backoff short',
      validator: (recorded = 0) => {
        // One whose answer is recorded is over; only its result has not come here yet.
        if (now.state === 'attempting' && recorded <= made())
          refuse('attempt_in_progress', 'an attempt is under way');
        if (now.state === 'held' || asked.held) refuse('delivery_held', 'the endpoint is paused');
        if (now.state === 'ended' || asked.cancel !== null)
          refuse('delivery_ended', 'the delivery has ended');
      },
    },
  );

  const makeAttempt = async (): Promise<AttemptResult> => {
    const request: AttemptRequest = {
      deliveryId,
      number: nextNumber(),
      trigger,
      budget: attempts.filter(({ number }) => number > budgetStart).reduce(spend, UNSPENT),
      jitter: Math.random() * 2 - 1,
      ...(deferred ?? {}),
      ...(crowdedOut === 0 ? {} : { crowdedOut }),
    };
    const summary = attemptTitle();
    if (local) {
      local = false;
      try {
        return await attemptLocally.executeWithOptions({ summary }, [request]);
      } catch (error) {
        log.warn('the first attempt could not be made here; it moves to the task queue', { error });
      }
    }
    return activities.attemptDelivery.executeWithOptions({ summary }, [request]);
  };

  const run = async (): Promise<DeliveryResult> => {
    for (;;) {
      if (asked.cancel !== null) return endCancelled(asked.cancel);
      // A cancellation that came during an attempt, or before the first one, interrupted nothing.
      if (CancellationScope.current().consideredCancelled) return endCancelled(CANCELLED_IN_TEMPORAL);
      if (asked.held) {
        now.state = 'held';
        index('held');
        show();
        await condition(() => !asked.held || asked.cancel !== null);
        continue;
      }
      const waitMs = now.nextAttemptAtMs === null ? 0 : now.nextAttemptAtMs - Date.now();
      if (!asked.retry && !asked.pace && workflowInfo().continueAsNewSuggested && patched('goes-on-as-new'))
        return goOnAsNew(waitMs);
      if (waitMs > 0 && !asked.retry && !asked.pace) {
        now.state = 'waiting';
        local = false;
        index('retrying');
        show();
        await condition(() => asked.retry || asked.pace || asked.held || asked.cancel !== null, waitMs, {
          summary: attemptTitle(),
        });
        continue;
      }
      if (asked.retry) trigger = 'manual';
      // What was reserved at another pace is worth nothing.
      if (asked.pace) deferred = null;
      asked.retry = false;
      asked.pace = false;
      asked.released = false;
      now.state = 'attempting';
      now.nextAttemptAtMs = null;
      if (indexed !== null) index('retrying');
      show();
      const result = await CancellationScope.nonCancellable(makeAttempt);
      deferred = null;
      switch (result.kind) {
        case 'deferred':
          deferred = result.slotAtMs === undefined ? {} : { slotAtMs: result.slotAtMs };
          crowdedOut = result.crowdedOut ?? crowdedOut;
          now.nextAttemptAtMs = Date.now() + result.waitMs;
          continue;
        case 'held':
          // A release that came while the activity read "paused" is not undone by its late answer.
          asked.held = !asked.released;
          continue;
        case 'ended':
          now.state = 'ended';
          show();
          return endAsRecorded(result.status, result.reason);
        case 'made':
          break;
      }
      asked.pace = false;
      crowdedOut = 0;
      const { attempt, decision } = result;
      attempts.push(attempt);
      asked.retry ||= made() <= retryAfter;
      attemptsMax = result.attemptsMax;
      trigger = 'schedule';
      // Before the record is written, which may take long: nobody may retry what is over, and a backoff starts now.
      now.state = decision.kind === 'retry' ? 'waiting' : 'ended';
      if (decision.kind === 'retry') now.nextAttemptAtMs = Date.now() + decision.delayMs;
      if (!result.recorded) {
        show();
        await CancellationScope.nonCancellable(() =>
          activities.recordAttempt({ deliveryId, attempt, decision }),
        );
      }
      switch (decision.kind) {
        case 'delivered':
          show();
          return { status: 'delivered', attempts: made() };
        case 'failed':
          show();
          throw ApplicationFailure.nonRetryable(
            `given up after ${made()} attempts (${decision.reason}); the last answer was ${attempt.statusCode ?? attempt.errorCode ?? 'none'}`,
            decision.reason,
          );
        case 'retry':
          break;
      }
    }
  };

  /** What is put off again and again, for its pace or a busy host, has no end to its history otherwise. */
  const goOnAsNew = (waitMs: number): Promise<never> =>
    continueAsNew<typeof delivery>({
      ...input,
      from: {
        attempts,
        budgetStart,
        dueInMs: Math.max(0, waitMs),
        trigger,
        ...(deferred && { deferred }),
        ...(crowdedOut > 0 && { crowdedOut }),
      },
      // Not in the task that the run begins with.
      slow: true,
    });

  const endAsRecorded = async (
    status: Extract<AttemptResult, { kind: 'ended' }>['status'],
    reason: string | null,
  ): Promise<DeliveryResult> => {
    switch (status) {
      case 'delivered':
      case 'erased':
        return { status, attempts: made() };
      case 'cancelled':
        return endCancelled(reason ?? 'cancelled');
      case 'failed':
      case 'skipped':
        throw ApplicationFailure.nonRetryable(
          `${status}: ${reason ?? 'no reason recorded'}`,
          reason ?? status,
        );
    }
  };

  const endCancelled = async (reason: string): Promise<never> => {
    now.state = 'ended';
    now.nextAttemptAtMs = null;
    show();
    const scope = CancellationScope.current();
    const cancelWorkflowId = scope.consideredCancelled ? null : workflowInfo().workflowId;
    await CancellationScope.nonCancellable(() =>
      activities.recordCancelled({ deliveryId, reason, cancelWorkflowId }),
    );
    // Only a workflow whose cancellation was requested may end as Cancelled; the activity requested it.
    return scope.cancelRequested;
  };

  try {
    return await run();
  } catch (error) {
    if (!isCancellation(error) || now.state === 'ended') throw error;
    return await endCancelled(asked.cancel ?? CANCELLED_IN_TEMPORAL);
  }
}

function refuse(reason: RetryRefusal, message: string): never {
  throw ApplicationFailure.nonRetryable(message, reason);
}
