/** How fast one endpoint may be sent to. */
export interface EndpointLimits {
  /** Attempts a second over all processes; null without a limit. */
  perSecond: number | null;
  /** Attempts that may follow each other at once after a quiet time. */
  burst: number;
  /** Attempts under way at once in one process. */
  maxInFlight: number;
}

export const DEFAULT_MAX_IN_FLIGHT = 32;
export const DEFAULT_BURST = 1;

export const UNLIMITED: EndpointLimits = {
  perSecond: null,
  burst: DEFAULT_BURST,
  maxInFlight: DEFAULT_MAX_IN_FLIGHT,
};

/** As an endpoint's row, with its pace beside it, has them. */
export interface LimitColumns {
  rate_per_second: number | null;
  rate_burst: number | null;
  max_in_flight: number | null;
  /** Milliseconds from now that `Retry-After` still asks for; null when it asks for nothing. */
  quiet_ms: number | null;
}

/** Selects {@link LimitColumns}, of `endpoints e` and `endpoint_pace p`. */
export const LIMIT_COLUMNS = `e.rate_per_second, e.rate_burst, e.max_in_flight,
  CASE WHEN p.not_before > now() THEN (extract(epoch FROM p.not_before - now()) * 1000)::float8 END AS quiet_ms`;

export function limitsOf(row: Omit<LimitColumns, 'quiet_ms'>): EndpointLimits {
  return {
    perSecond: row.rate_per_second,
    burst: row.rate_burst ?? DEFAULT_BURST,
    maxInFlight: row.max_in_flight ?? DEFAULT_MAX_IN_FLIGHT,
  };
}
