import { Injectable } from '@nestjs/common';
import { steadyMs } from '../common/steady-clock.js';
import { Database } from '../database/database.js';
import { type EndpointLimits, limitsOf } from './limits.js';

export interface Reserved {
  limits: EndpointLimits;
  /** By {@link steadyMs}, the soonest first; none when the endpoint has no limit any more. */
  slots: number[];
}

/**
 * The moments at which a limited endpoint may be sent to, handed out to all processes by one row in PostgreSQL: the
 * generic cell rate algorithm (ITU-T I.371), with reservations. A moment is given to one attempt alone, so the limit
 * is exact whoever sends, and nobody has to ask again.
 */
@Injectable()
export class Reservations {
  constructor(private readonly database: Database) {}

  /** Reserves the next `count` moments. */
  async reserve(endpointId: string, count: number): Promise<Reserved> {
    const [row] = await this.database.prepared<ReservedRow>('reserve_pace', RESERVE, [endpointId, count]);
    if (!row)
      return {
        limits: limitsOf({ rate_per_second: null, rate_burst: null, max_in_flight: null }),
        slots: [],
      };
    const limits = limitsOf(row);
    if (limits.perSecond === null || row.taken_ms === null) return { limits, slots: [] };
    const now = steadyMs();
    return {
      limits,
      slots: slotsOf(limits.perSecond, limits.burst, count, row.taken_ms).map((ms) => now + ms),
    };
  }
}

/**
 * @param takenMs milliseconds from now until all that was ever reserved, these `count` included, is used up
 * @returns milliseconds from now at which each may be sent, never below 0
 */
export function slotsOf(perSecond: number, burst: number, count: number, takenMs: number): number[] {
  const apartMs = 1000 / perSecond;
  const firstMs = takenMs - count * apartMs - (burst - 1) * apartMs;
  return Array.from({ length: count }, (_, index) => Math.max(0, firstMs + index * apartMs));
}

interface ReservedRow {
  rate_per_second: number | null;
  rate_burst: number | null;
  max_in_flight: number | null;
  taken_ms: number | null;
}

// The rate must not change between reading it and reserving by it.
// now() is one moment for the whole statement, so the difference of two sums with it is exact.
const RESERVE = `
  WITH endpoint AS (
    SELECT id, rate_per_second, rate_burst, max_in_flight FROM endpoints WHERE id = $1 FOR SHARE
  ), taken AS (
    INSERT INTO endpoint_pace AS p (endpoint_id, free_at)
      SELECT id, now() + $2::int / rate_per_second * interval '1 second' FROM endpoint WHERE rate_per_second IS NOT NULL
    ON CONFLICT (endpoint_id) DO UPDATE SET free_at = greatest(p.free_at, now()) + (excluded.free_at - now())
    RETURNING (extract(epoch FROM free_at - now()) * 1000)::float8 AS taken_ms
  )
  SELECT rate_per_second, rate_burst, max_in_flight, taken_ms FROM endpoint LEFT JOIN taken ON true`;
