import { z } from 'zod';
import { classifyAnswer, type Outcome } from '../../workflows/outcomes.js';

/** Bytes of a 207 that are read: 1,000 results of 256. */
export const RESULT_BYTES = 256 * 1024;

const answer = z.object({
  results: z.array(z.object({ id: z.string(), status: z.int().min(100).max(599) })),
});

/**
 * Reads what a receiver says of each event of an array: `{"results": [{"id": "evt_…", "status": 200}, …]}`. Of two results for
 * one event the last counts.
 *
 * @param body JSON text; undefined where it was too long, or no text
 * @returns statuses by the ids of events; null for what is nothing of the kind
 */
export function readResults(body: string | undefined): Map<string, number> | null {
  if (body === undefined) return null;
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return null;
  }
  const read = answer.safeParse(json);
  return read.success ? new Map(read.data.results.map(({ id, status }) => [id, status])) : null;
}

/**
 * What a status means for one event of an array, as it would for an event alone. It says nothing of the endpoint: 410 is about
 * the event. One that is not spoken of is sent again.
 */
export function outcomeOf(
  status: number | undefined,
): Extract<Outcome, 'delivered' | 'transient' | 'permanent'> {
  if (status === undefined) return 'transient';
  const { outcome } = classifyAnswer({ statusCode: status, headers: {} }, 0);
  switch (outcome) {
    case 'delivered':
      return 'delivered';
    case 'transient':
    case 'throttled':
      return 'transient';
    case 'permanent':
    case 'refused':
    case 'gone':
    case 'aborted':
    case 'blocked':
    case 'transform':
      return 'permanent';
  }
}
