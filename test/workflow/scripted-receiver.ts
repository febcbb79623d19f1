import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type {
  AttemptRequest,
  AttemptResult,
  AttemptSummary,
  CancelledRequest,
  DeliveryActivities,
  RecordRequest,
} from '../../workflows/contracts.js';
import { type Classified, classifyAnswer } from '../../workflows/outcomes.js';
import { decide, SCHEDULES, spend } from '../../workflows/schedule.js';

/** What happens at one attempt. Rejects where it plays a failure of our own. */
export type Reply = (attempt: ScriptedAttempt) => Promise<AttemptResult>;

export interface ScriptedAttempt {
  request: AttemptRequest;
  /** Unix milliseconds by the clock of the server, which skips time. */
  nowMs: number;
  schedule: readonly number[];
}

/** An attempt as the receiver saw it. */
export interface SeenAttempt {
  atMs: number;
  number: number;
  trigger: AttemptRequest['trigger'];
  /** The moment that was reserved for it. */
  slotAtMs: number | undefined;
  crowdedOut: number | undefined;
  local: boolean;
}

const DURATION_MS = 12;

/** The receiver answers. */
export const answers =
  (statusCode: number, headers: Record<string, string> = {}): Reply =>
  (attempt) =>
    Promise.resolve(made(attempt, classifyAnswer({ statusCode, headers }, attempt.nowMs), { statusCode }));

/** The receiver asks to be left alone until a moment, as an HTTP date. */
export const answersUntil =
  (statusCode: number, afterMs: number): Reply =>
  (attempt) =>
    answers(statusCode, { 'retry-after': new Date(attempt.nowMs + afterMs).toUTCString() })(attempt);

/** No answer comes. */
export const unreachable = (): Reply => (attempt) =>
  Promise.resolve(made(attempt, { outcome: 'transient' }, { errorCode: 'connect_refused' }));

/** The egress rules refuse the address. */
export const refusedByEgress = (): Reply => (attempt) =>
  Promise.resolve(made(attempt, { outcome: 'blocked' }, { errorCode: 'address_blocked' }));

/** The endpoint's transformation fails, and nothing is sent. */
export const transformFails = (): Reply => (attempt) =>
  Promise.resolve(made(attempt, { outcome: 'transform' }, { errorCode: 'transform_error' }));

/** The record says that the endpoint is paused. */
export const paused = (): Reply => () => Promise.resolve({ kind: 'held' });

/** The endpoint's pace has no room for as long, and keeps that moment for this attempt when `isReserved`. */
export const noRoomFor =
  (waitMs: number, isReserved = false): Reply =>
  ({ nowMs }) =>
    Promise.resolve({ kind: 'deferred', waitMs, ...(isReserved ? { slotAtMs: nowMs + waitMs } : {}) });

/** Connections of our own crowd the host. */
export const crowdedFor =
  (waitMs: number): Reply =>
  ({ request }) =>
    Promise.resolve({ kind: 'deferred', waitMs, crowdedOut: (request.crowdedOut ?? 0) + 1 });

/** The record says that the delivery is over. */
export const over =
  (status: Extract<AttemptResult, { kind: 'ended' }>['status'], reason: string | null): Reply =>
  () =>
    Promise.resolve({ kind: 'ended', status, reason });

/** Something of ours is broken, and nothing was sent. */
export const breaks =
  (message = 'the database is away'): Reply =>
  () =>
    Promise.reject(new Error(message));

/** The attempt is made, but PostgreSQL cannot be written. */
export const unrecorded =
  (reply: Reply): Reply =>
  async (attempt) => {
    const result = await reply(attempt);
    return result.kind === 'made' ? { ...result, recorded: false } : result;
  };

export const times = <Item = Reply>(count: number, item: Item): Item[] =>
  Array.from({ length: count }, () => item);

/** Where something waits until it is let through. */
export class Gate {
  /** Resolves when something waits here. */
  readonly reached: Promise<void>;
  readonly open: () => void;
  readonly pass: () => Promise<void>;

  constructor() {
    const reached = deferred();
    const opened = deferred();
    this.reached = reached.promise;
    this.open = opened.resolve;
    this.pass = () => {
      reached.resolve();
      return opened.promise;
    };
  }
}

/** The attempt stays in flight until the gate opens. */
export const behind =
  (gate: Gate, reply: Reply): Reply =>
  async (attempt) => {
    await gate.pass();
    return reply(attempt);
  };

/** Fails so many times, then succeeds. */
export function failsTimes(count: number): () => Promise<void> {
  let left = count;
  return () => (left-- > 0 ? Promise.reject(new Error('the record cannot be written')) : Promise.resolve());
}

export interface ScriptedReceiverOptions {
  replies: readonly Reply[];
  /** Seconds to wait after each failed attempt. */
  schedule?: readonly number[];
  /** What writing to PostgreSQL is like. Rejects while it cannot be written. */
  write?: () => Promise<void>;
  now: () => Promise<number>;
  cancelWorkflow: (workflowId: string) => Promise<void>;
}

/**
 * The activities of one delivery with a receiver that follows a script. What is decided about its answers is decided by
 * the real code; only the network and PostgreSQL are played.
 */
export class ScriptedReceiver implements DeliveryActivities {
  readonly seen: SeenAttempt[] = [];
  readonly recorded: RecordRequest[] = [];
  readonly cancelled: CancelledRequest[] = [];
  private readonly replies: Iterator<Reply>;

  constructor(private readonly options: ScriptedReceiverOptions) {
    this.replies = options.replies.values();
  }

  async attemptDelivery(request: AttemptRequest): Promise<AttemptResult> {
    const nowMs = await this.options.now();
    const { number, trigger, slotAtMs, crowdedOut } = request;
    this.seen.push({
      atMs: nowMs,
      number,
      trigger,
      slotAtMs,
      crowdedOut,
      local: Context.current().info.isLocal,
    });
    const next = this.replies.next();
    if (next.done) throw ApplicationFailure.nonRetryable(`the script has no reply for attempt ${number}`);
    return next.value({ request, nowMs, schedule: this.options.schedule ?? SCHEDULES.default });
  }

  async recordAttempt(request: RecordRequest): Promise<void> {
    await this.options.write?.();
    this.recorded.push(request);
  }

  async recordCancelled(request: CancelledRequest): Promise<void> {
    await this.options.write?.();
    this.cancelled.push(request);
    if (request.cancelWorkflowId !== null) await this.options.cancelWorkflow(request.cancelWorkflowId);
  }
}

function made(
  { request, nowMs, schedule }: ScriptedAttempt,
  { outcome, retryAfterMs }: Classified,
  answer: Pick<AttemptSummary, 'statusCode' | 'errorCode'>,
): AttemptResult {
  const { number, trigger } = request;
  const attempt = { number, trigger, startedAtMs: nowMs, durationMs: DURATION_MS, outcome, ...answer };
  const decision = decide({
    budget: spend(request.budget, attempt),
    outcome,
    startedAtMs: nowMs,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    schedule,
    jitter: request.jitter,
  });
  return { kind: 'made', attempt, decision, attemptsMax: schedule.length + 1, recorded: true };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
