import { Inject, Injectable } from '@nestjs/common';
import type { AttemptRequest, AttemptResult, AttemptSummary } from '../../workflows/contracts.js';
import { classifyAnswer } from '../../workflows/outcomes.js';
import { decide, type Decision, type FailureReason, spend } from '../../workflows/schedule.js';
import { toId } from '../common/ids.js';
import { VERSION } from '../common/version.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { maskHeaders } from '../endpoints/custom-headers.js';
import { EndpointSeals } from '../endpoints/endpoint-seals.js';
import { delaysOf } from '../endpoints/retry-schedule.js';
import { Metrics } from '../metrics/metrics.js';
import { Pacer } from '../pacing/pacer.js';
import { RetrySpread } from '../pacing/retry-spread.js';
import { OpenedSecrets } from '../signing/opened-secrets.js';
import { SCHEMES, STANDARD } from '../signing/schemes.js';
import { Transport } from '../transport/transport.js';
import type { OutgoingRequest, TransportResult } from '../transport/types.js';
import { type LoadedDelivery, Loader } from './loader.js';
import { type AttemptDetails, Recorder } from './recorder.js';

/** How long an attempt waits for its record before somebody else takes that over. */
const RECORD_WITHIN_MS = 5_000;
const USER_AGENT = `Posthorn/${VERSION}`;

/** Makes attempts, the same way in every lane: load, check, pace, sign, send, decide, record. */
@Injectable()
export class Attempter {
  private readonly spread: RetrySpread;
  private readonly secrets: OpenedSecrets;

  constructor(
    private readonly loader: Loader,
    private readonly recorder: Recorder,
    private readonly pacer: Pacer,
    private readonly metrics: Metrics,
    private readonly seals: EndpointSeals,
    private readonly transport: Transport,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.secrets = new OpenedSecrets((id, sealed) => this.seals.openSecret(id, sealed));
    const { RETRIES_PER_SECOND: all } = settings;
    this.spread = new RetrySpread({ all, endpoint: Math.ceil(all / 2), outage: Math.ceil(all / 4) });
  }

  /**
   * Makes one attempt, unless it was made before, the record forbids it, or the endpoint's pace has no room for it.
   *
   * @param deliveryId UUID
   * @param lease of the process that makes it without a workflow
   * @throws for failures of ours, before anything was sent; once a request is out it always returns
   */
  async attempt(deliveryId: string, request: AttemptRequest, lease?: string | null): Promise<AttemptResult> {
    try {
      for (;;) {
        const delivery = await this.loader.load(deliveryId);
        if (!delivery) return { kind: 'ended', status: 'erased', reason: null };
        // Somebody else has it now: it was held and released, or this process was taken for dead.
        if (lease !== undefined && (lease === null || delivery.lease !== lease || !delivery.express))
          return { kind: 'held' };
        const done = (await this.madeBefore(delivery, request)) ?? (await this.bar(delivery));
        if (done === 'resumed') continue;
        if (done) return done;
        const pace = this.pacer.learn(delivery.endpoint_id, delivery);
        const admission = await this.pacer.admit(delivery.id, pace, request.slotAtMs);
        switch (admission.kind) {
          case 'go':
            return await this.make(delivery, request);
          case 'deferred':
            return admission;
          case 'look_again':
        }
      }
    } finally {
      this.pacer.leave(deliveryId, null);
    }
  }

  private async madeBefore(delivery: LoadedDelivery, request: AttemptRequest): Promise<AttemptResult | null> {
    if (delivery.attempt_count < request.number) return null;
    const [attempts] = (await this.loader.attempts([delivery.id])).values();
    const attempt = attempts?.find(({ number }) => number === request.number);
    if (!attempt) return null;
    const decision = asDecided(delivery, Date.now());
    return { kind: 'made', attempt, decision, attemptsMax: attemptsMax(delivery), recorded: true };
  }

  /** Whether the record forbids an attempt: the delivery is over, or its endpoint is paused, disabled or deleted. */
  private async bar(delivery: LoadedDelivery): Promise<AttemptResult | 'resumed' | null> {
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
    if (delivery.paused) return (await this.loader.hold(delivery)) ? { kind: 'held' } : 'resumed';
    return null;
  }

  private async make(delivery: LoadedDelivery, request: AttemptRequest): Promise<AttemptResult> {
    const startedAtMs = Date.now();
    const outgoing = this.compose(delivery, startedAtMs);
    const result = await this.transport.send(outgoing);
    const nowMs = Date.now();
    const { attempt, details, retryAfterMs } = describe(request, startedAtMs, outgoing, result, nowMs);
    this.pacer.leave(delivery.id, {
      durationMs: result.durationMs,
      failed: !result.ok && attempt.outcome === 'transient',
    });
    this.metrics.attempted(attempt.outcome, attempt.durationMs);
    if (retryAfterMs !== undefined) this.pacer.quiet(delivery.endpoint_id, nowMs + retryAfterMs);
    let decision = decide({
      budget: spend(request.budget, attempt),
      outcome: attempt.outcome,
      startedAtMs,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      schedule: delaysOf(delivery.retry_schedule),
      jitter: request.jitter,
    });
    if (decision.kind === 'retry') {
      const inOutage = this.pacer.of(delivery.endpoint_id).inOutage;
      const delayMs = this.spread.place(delivery.endpoint_id, decision.delayMs, nowMs, inOutage);
      decision = { kind: 'retry', delayMs };
    }
    const written = this.recorder.record(delivery.id, attempt, decision, { ...details, retryAfterMs });
    const recorded = await within(RECORD_WITHIN_MS, written);
    return { kind: 'made', attempt, decision, attemptsMax: attemptsMax(delivery), recorded };
  }

  /** The request of Standard Webhooks 1.0, signed by the endpoint's scheme: body and signature are of the same bytes. */
  private compose(delivery: LoadedDelivery, startedAtMs: number): OutgoingRequest {
    const id = toId('event', delivery.event_id);
    const { type, version } = delivery;
    const envelope = JSON.stringify({ id, type, timestamp: delivery.occurred_at.toISOString(), version });
    const body = `${envelope.slice(0, -1)},"data":${delivery.data}}`;
    const timestampSeconds = Math.floor(startedAtMs / 1000);
    const { scheme, header } = delivery.signing ?? STANDARD;
    const secrets = (delivery.secrets ?? []).map((sealed, index) =>
      this.secrets.get(delivery.secret_ids?.[index] ?? '', sealed, scheme),
    );
    return {
      method: 'POST',
      url: delivery.url,
      headers: {
        ...this.seals.openHeaders(delivery.endpoint_id, delivery.sealed_headers),
        'content-type': 'application/json',
        'user-agent': USER_AGENT,
        'webhook-id': id,
        'webhook-timestamp': String(timestampSeconds),
        [header]: SCHEMES[scheme].sign(secrets, { id, timestampSeconds, body }),
      },
      body,
      timeoutMs: delivery.timeout_ms,
    };
  }
}

const attemptsMax = (delivery: LoadedDelivery): number => delaysOf(delivery.retry_schedule).length + 1;

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
