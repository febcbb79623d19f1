/** `suspect`: there are failures and no success since, which the owner is not told of yet. */
export type HealthState = 'healthy' | 'suspect' | 'failing' | 'circuit_open';

/** What an owner is told of when it begins, and when it has ended. */
export type Trouble = 'failing' | 'circuit_open';

/** What is known of an endpoint. All times are unix milliseconds. */
export interface HealthRecord {
  state: HealthState;
  stateSinceMs: number;
  /** The first failure since the latest success; null while there is none. */
  failingSinceMs: number | null;
  consecutiveFailures: number;
  /** Different deliveries among those failures, as far as they are counted. */
  failedDeliveries: number;
  /** Deliveries given up that the owner was not told of yet. */
  exhausted: number;
  /** The state that the owner was told of and that has not ended since. */
  announced: Trouble | null;
  /** When the owner was last told of each. */
  toldAtMs: Readonly<Partial<Record<Trouble | 'exhausted', number>>>;
  /** The latest single attempt through the open circuit. */
  probedAtMs: number | null;
}

/** First attempts and retries of the last hour, and how many of them delivered. */
export interface RecentAttempts {
  attempts: number;
  delivered: number;
  /** How long ago the first of them was, at least. */
  spanMs: number;
}

export interface HealthPolicy {
  /** Milliseconds without a success after which the owner is told. */
  failingAfterMs: number;
  /** Milliseconds without a success after which the endpoint is disabled. */
  disableAfterMs: number;
  /** Milliseconds between two probes. */
  probeEveryMs: number;
  /** Milliseconds without a success before which no circuit opens: a restart of the receiver is none of its business. */
  circuitAfterMs: number;
  /** Failures without a success between them that open the circuit; 0 never opens it. */
  circuitFailures: number;
  /** Of how many deliveries at least: one delivery that cannot be delivered is no dead endpoint. */
  circuitDeliveries: number;
}

/** What the owner is told, once for each change. */
export type HealthNotice =
  | { kind: 'failing' }
  | { kind: 'circuit_open' }
  | { kind: 'disabled' }
  | { kind: 'recovered' }
  | { kind: 'exhausted'; count: number };

export interface HealthReview {
  record: HealthRecord;
  notices: HealthNotice[];
  /** Whether one delivery is to be tried now. */
  probe: boolean;
  disable: boolean;
  /** Milliseconds until something may change by time alone; null when nothing will. */
  againInMs: number | null;
}

/** A few in a hundred that go through by luck do not keep a circuit closed (the rule of Slack's Events API). */
const HARDLY_ANY = { share: 0.05, attempts: 100, spanMs: 300_000 };
/** The owner is told the same no sooner again: an endpoint that comes and goes does not fill a mailbox. */
const SAME_NOTICE_EVERY_MS = 3_600_000;

/**
 * When an endpoint with these figures is to be left alone but for a probe.
 *
 * @returns unix milliseconds, a moment past for at once; null when they do not ask for it
 */
export function circuitOpensAt(
  {
    failingSinceMs,
    consecutiveFailures,
    failedDeliveries,
  }: Pick<HealthRecord, 'failingSinceMs' | 'consecutiveFailures' | 'failedDeliveries'>,
  recent: RecentAttempts,
  {
    circuitAfterMs,
    circuitFailures,
    circuitDeliveries,
  }: Pick<HealthPolicy, 'circuitAfterMs' | 'circuitFailures' | 'circuitDeliveries'>,
): number | null {
  if (circuitFailures === 0 || failingSinceMs === null) return null;
  const { attempts, delivered, spanMs } = recent;
  const hardlyAny =
    attempts >= HARDLY_ANY.attempts && spanMs >= HARDLY_ANY.spanMs && delivered < HARDLY_ANY.share * attempts;
  if (hardlyAny) return failingSinceMs;
  const isDead = consecutiveFailures >= circuitFailures && failedDeliveries >= circuitDeliveries;
  return isDead ? failingSinceMs + circuitAfterMs : null;
}

/**
 * What follows from the figures at a moment: the next state, what the owner is told, what is to be done, and when to look
 * again. Looking at other times too changes nothing.
 */
export function reviewHealth(
  record: HealthRecord,
  recent: RecentAttempts,
  policy: HealthPolicy,
  nowMs: number,
): HealthReview {
  const next: HealthRecord = { ...record, ...nextState(record, recent, policy, nowMs) };
  const notices: HealthNotice[] = [];
  const moments: number[] = [];
  const tell = (notice: Extract<HealthNotice, { kind: keyof HealthRecord['toldAtMs'] }>): boolean => {
    const quietUntilMs = (next.toldAtMs[notice.kind] ?? -Infinity) + SAME_NOTICE_EVERY_MS;
    if (nowMs < quietUntilMs) {
      moments.push(quietUntilMs);
      return false;
    }
    notices.push(notice);
    next.toldAtMs = { ...next.toldAtMs, [notice.kind]: nowMs };
    return true;
  };

  switch (next.state) {
    case 'healthy':
      if (record.announced !== null) notices.push({ kind: 'recovered' });
      next.announced = null;
      break;
    case 'suspect':
      break;
    case 'failing':
    case 'circuit_open':
      if (next.announced !== next.state && tell({ kind: next.state })) next.announced = next.state;
      break;
  }
  if (record.exhausted > 0 && tell({ kind: 'exhausted', count: record.exhausted })) next.exhausted = 0;

  const disable = record.failingSinceMs !== null && nowMs >= record.failingSinceMs + policy.disableAfterMs;
  if (disable) notices.push({ kind: 'disabled' });
  else if (record.failingSinceMs !== null) {
    moments.push(record.failingSinceMs + policy.disableAfterMs);
    if (next.state === 'suspect') moments.push(record.failingSinceMs + policy.failingAfterMs);
    const opensAtMs = next.state === 'circuit_open' ? null : circuitOpensAt(record, recent, policy);
    if (opensAtMs !== null) moments.push(opensAtMs);
  }

  let probe = false;
  if (next.state === 'circuit_open' && !disable) {
    const probeAtMs = (next.probedAtMs ?? next.stateSinceMs) + policy.probeEveryMs;
    probe = nowMs >= probeAtMs;
    if (probe) next.probedAtMs = nowMs;
    moments.push(probe ? nowMs + policy.probeEveryMs : probeAtMs);
  }
  const againInMs = disable || moments.length === 0 ? null : Math.min(...moments) - nowMs;
  return { record: next, notices, probe, disable, againInMs };
}

function nextState(
  record: HealthRecord,
  recent: RecentAttempts,
  policy: HealthPolicy,
  nowMs: number,
): Partial<HealthRecord> {
  const enter = (state: HealthState): Partial<HealthRecord> =>
    record.state === state ? {} : { state, stateSinceMs: nowMs, probedAtMs: null };
  if (record.failingSinceMs === null) return enter('healthy');
  if (record.state === 'circuit_open') return {};
  if (nowMs >= (circuitOpensAt(record, recent, policy) ?? Infinity)) return enter('circuit_open');
  const isFailing =
    record.state === 'failing' ||
    record.exhausted > 0 ||
    nowMs >= record.failingSinceMs + policy.failingAfterMs;
  return enter(isFailing ? 'failing' : 'suspect');
}
