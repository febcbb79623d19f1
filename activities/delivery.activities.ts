import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type {
  AttemptRequest,
  AttemptResult,
  AttemptSummary,
  CancelledRequest,
  DeliveryActivities,
  RecordRequest,
} from '../workflows/contracts.js';
import { classifyAnswer } from '../workflows/outcomes.js';
import { decide, type Decision, type FailureReason, spend } from '../workflows/schedule.js';
import { fromId, toId } from '../src/common/ids.js';
import type { CancelRecorder } from '../src/deliveries/cancel-recorder.js';
import type { LoadedDelivery, Loader } from '../src/deliveries/loader.js';
import type { AttemptDetails, Recorder } from '../src/deliveries/recorder.js';
import type { Metrics } from '../src/metrics/metrics.js';
import { maskHeaders } from '../src/endpoints/custom-headers.js';
import type { EndpointSeals } from '../src/endpoints/endpoint-seals.js';
import { delaysOf } from '../src/endpoints/retry-schedule.js';
import { parseSigningSecret } from '../src/signing/secrets.js';
import { sign } from '../src/signing/sign.js';
import type { Transport } from '../src/transport/transport.js';
import type { OutgoingRequest, TransportResult } from '../src/transport/types.js';

export interface DeliveryActivityDependencies {
  /** Told that an attempt begins. @param deliveryId UUID */
  onAttempt: (deliveryId: string) => void;
  loader: Loader;
  recorder: Recorder;
  cancelRecorder: CancelRecorder;
  metrics: Metrics;
  seals: EndpointSeals;
  transport: Transport;
  userAgent: string;
  /** Unix milliseconds. */
  now: () => number;
}

const HEARTBEAT_EVERY_MS = 3_000;
/** How long an attempt waits for its record before the workflow takes that over. */
const RECORD_WITHIN_MS = 5_000;

/**
 * The activities of the delivery workflow. They reject for failures of our own only, before anything was sent; Temporal
 * then runs them again and the customer's schedule does not move. Once a request is out they always return.
 */
export function createDeliveryActivities(dependencies: DeliveryActivityDependencies): DeliveryActivities {
  return {
    /**
     * Makes one attempt. Not idempotent towards the receiver when a worker dies between sending and recording: the same
     * `webhook-id` arrives twice then, which Standard Webhooks asks receivers to expect. An attempt that was recorded is
     * not made again.
     */
    async attemptDelivery(request) {
      const stop = beat();
      try {
        return await attemptDelivery(dependencies, request);
      } finally {
        stop();
      }
    },

    /** Idempotent: keyed by delivery and number. */
    async recordAttempt({ deliveryId, attempt, decision }: RecordRequest) {
      await dependencies.recorder.record(uuidOf(deliveryId), attempt, decision, null);
    },

    /** Idempotent: a delivery that is over stays as it ended. */
    async recordCancelled({ deliveryId, reason, cancelWorkflowId }: CancelledRequest) {
      await dependencies.cancelRecorder.record(uuidOf(deliveryId), reason, cancelWorkflowId);
    },
  };
}

async function attemptDelivery(
  { onAttempt, loader, recorder, metrics, seals, transport, userAgent, now }: DeliveryActivityDependencies,
  request: AttemptRequest,
): Promise<AttemptResult> {
  const deliveryId = uuidOf(request.deliveryId);
  onAttempt(deliveryId);
  const delivery = await loader.load(deliveryId);
  if (!delivery) return { kind: 'ended', status: 'erased', reason: null };
  const attemptsMax = delaysOf(delivery.retry_schedule).length + 1;
  if (delivery.attempt_count >= request.number) {
    const [attempts] = (await loader.attempts([delivery.id])).values();
    const attempt = attempts?.find(({ number }) => number === request.number);
    if (attempt)
      return { kind: 'made', attempt, decision: asDecided(delivery, now()), attemptsMax, recorded: true };
  }
  const barred = await bar(delivery, loader);
  if (barred) return barred;

  const startedAtMs = now();
  const outgoing = compose(delivery, seals, userAgent, startedAtMs);
  const result = await transport.send(outgoing);
  const { attempt, details, retryAfterMs } = describe(request, startedAtMs, outgoing, result, now());
  metrics.attempted(attempt.outcome, attempt.durationMs);
  const decision = decide({
    budget: spend(request.budget, attempt),
    outcome: attempt.outcome,
    startedAtMs,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    schedule: delaysOf(delivery.retry_schedule),
    jitter: request.jitter,
  });
  const recorded = await within(RECORD_WITHIN_MS, recorder.record(delivery.id, attempt, decision, details));
  return { kind: 'made', attempt, decision, attemptsMax, recorded };
}

/** Whether the record forbids an attempt: the delivery is over, or its endpoint is paused, disabled or deleted. */
async function bar(delivery: LoadedDelivery, loader: Loader): Promise<AttemptResult | null> {
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
    await loader.end(delivery, 'cancelled', 'endpoint_deleted');
    return { kind: 'ended', status: 'cancelled', reason: 'endpoint_deleted' };
  }
  if (delivery.disabled) {
    await loader.end(delivery, 'skipped', 'endpoint_disabled');
    return { kind: 'ended', status: 'skipped', reason: 'endpoint_disabled' };
  }
  if (delivery.paused) {
    await loader.hold(delivery);
    return { kind: 'held' };
  }
  return null;
}

/** The request of Standard Webhooks 1.0: body and signature are of the same bytes. */
function compose(
  delivery: LoadedDelivery,
  seals: EndpointSeals,
  userAgent: string,
  startedAtMs: number,
): OutgoingRequest {
  const id = toId('event', delivery.event_id);
  const { type, version } = delivery;
  const envelope = JSON.stringify({ id, type, timestamp: delivery.occurred_at.toISOString(), version });
  const body = `${envelope.slice(0, -1)},"data":${delivery.data}}`;
  const timestampSeconds = Math.floor(startedAtMs / 1000);
  const secrets = (delivery.secrets ?? []).map((sealed, index) =>
    parseSigningSecret(seals.openSecret(delivery.secret_ids?.[index] ?? '', sealed)),
  );
  return {
    method: 'POST',
    url: delivery.url,
    headers: {
      ...seals.openHeaders(delivery.endpoint_id, delivery.sealed_headers),
      'content-type': 'application/json',
      'user-agent': userAgent,
      'webhook-id': id,
      'webhook-timestamp': String(timestampSeconds),
      'webhook-signature': sign(secrets, { id, timestampSeconds, body }),
    },
    body,
    timeoutMs: delivery.timeout_ms,
  };
}

function describe(
  request: AttemptRequest,
  startedAtMs: number,
  outgoing: OutgoingRequest,
  result: TransportResult,
  nowMs: number,
): { attempt: AttemptSummary; details: AttemptDetails; retryAfterMs?: number } {
  const failure = result.ok ? undefined : result.failure;
  const response = result.ok ? result.response : result.failure.response;
  const { outcome, retryAfterMs } = result.ok
    ? classifyAnswer(result.response, nowMs)
    : { outcome: result.failure.kind, retryAfterMs: undefined };
  return {
    attempt: {
      number: request.number,
      trigger: request.trigger,
      startedAtMs,
      durationMs: Math.round(result.durationMs),
      outcome,
      ...(response ? { statusCode: response.statusCode } : {}),
      ...(failure ? { errorCode: failure.code } : {}),
    },
    details: {
      errorDetail: failure?.detail,
      request: { method: outgoing.method, url: outgoing.url, headers: maskHeaders(outgoing.headers) },
      response: response && {
        headers: maskHeaders(response.headers),
        body: response.body,
        bodyEncoding: response.bodyEncoding,
        truncated: response.truncated,
      },
    },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** What was decided when the attempt was recorded, read back from the record. */
function asDecided(delivery: LoadedDelivery, nowMs: number): Decision {
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

function uuidOf(deliveryId: string): string {
  const uuid = fromId('delivery', deliveryId);
  if (uuid === null)
    throw ApplicationFailure.nonRetryable(`${deliveryId} is no delivery id`, 'bad_delivery_id');
  return uuid;
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

/** Heartbeats tell a worker that was killed from a receiver that is slow. Local activities have no need of them. */
function beat(): () => void {
  const context = Context.current();
  if (context.info.isLocal) return () => undefined;
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_EVERY_MS);
  return () => clearInterval(timer);
}
