import type { DeliverySummary } from '../deliveries/deliveries.schema.js';

/** What one receiver and its delivery log say in the end. */
export interface Outcome {
  name: string;
  events: number;
  attempts: number;
  delivered: number;
  retries: number;
  failed: number;
  skipped: number;
  /** Neither delivered, failed nor skipped. */
  open: number;
  verified: number;
  /** Requests whose signature or data was not as it should be, in words. */
  refused: readonly string[];
  /** Milliseconds from publish to first receipt; null when nothing arrived. */
  p50Ms: number | null;
}

export function summarise(
  name: string,
  deliveries: Pick<DeliverySummary, 'status' | 'attemptCount'>[],
  receiver: { verified: number; refused: readonly string[] },
  latenciesMs: number[],
): Outcome {
  const count = (status: DeliverySummary['status']) =>
    deliveries.filter((delivery) => delivery.status === status).length;
  const sum = (of: (attempts: number) => number) =>
    deliveries.reduce((total, { attemptCount }) => total + of(attemptCount), 0);
  const [delivered, failed, skipped] = [count('delivered'), count('failed'), count('skipped')];
  return {
    name,
    events: deliveries.length,
    attempts: sum((attempts) => attempts),
    delivered,
    retries: sum((attempts) => Math.max(0, attempts - 1)),
    failed,
    skipped,
    open: deliveries.length - delivered - failed - skipped,
    verified: receiver.verified,
    refused: receiver.refused,
    p50Ms: median(latenciesMs),
  };
}

export function median(values: number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
}

/** Everything that is not as the demo promises, one sentence each; empty when all is well. */
export function surprises(
  events: number,
  { healthy, failing, gone }: Record<'healthy' | 'failing' | 'gone', Outcome>,
  goneStatus: string,
): string[] {
  const found: string[] = [];
  for (const { name, delivered, open } of [healthy, failing]) {
    if (delivered !== events) found.push(`${name}: ${delivered} of ${events} events were delivered`);
    if (open > 0) found.push(`${name}: ${open} deliveries are still open`);
  }
  if (failing.delivered === events && failing.retries < 2 * events)
    found.push(`${failing.name}: ${failing.retries} retries, though each event takes two`);
  if (gone.failed + gone.skipped !== events || gone.failed === 0)
    found.push(
      `${gone.name}: ${gone.failed} given up and ${gone.skipped} skipped, which should be ${events} together`,
    );
  if (goneStatus !== 'disabled')
    found.push(`${gone.name}: the endpoint is ${goneStatus}, though it answered 410`);
  for (const { name, refused } of [healthy, failing, gone]) {
    if (refused.length > 0)
      found.push(`${name}: ${refused.length} requests were not as signed or published (${refused[0] ?? ''})`);
  }
  return found;
}
