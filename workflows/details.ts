import type { DeliveryLog } from './contracts.js';

/**
 * The delivery in words and a table (Markdown), as Temporal's Web UI shows it under "Current details".
 *
 * @param attemptsTotal the number of the last attempt there can be, null when not known yet
 */
export function describeDelivery(log: DeliveryLog, attemptsTotal: number | null): string {
  const made = log.attempts.at(-1)?.number ?? 0;
  const of = attemptsTotal === null ? '' : ` of ${attemptsTotal}`;
  const attempts = made === 1 ? 'attempt' : 'attempts';
  const next =
    log.nextAttemptAtMs === null ? '' : ` Next attempt at ${new Date(log.nextAttemptAtMs).toISOString()}.`;
  const headline = {
    attempting: `Attempt ${made + 1}${of} is under way.`,
    waiting: `${made}${of === '' ? ` ${attempts}` : `${of} attempts`} made.${next}`,
    held: `Held: the endpoint is paused, or its circuit is open. ${made} ${attempts} made.`,
    ended: `Ended after ${made} ${attempts}.`,
  }[log.state];
  if (log.attempts.length === 0) return headline;
  const rows = log.attempts.map(
    (attempt) =>
      `| ${attempt.number} | ${attempt.trigger} | ${new Date(attempt.startedAtMs).toISOString()} | ${attempt.durationMs} ms | ${attempt.outcome} | ${attempt.statusCode ?? attempt.errorCode ?? ''} |`,
  );
  return [
    headline,
    '',
    '| attempt | trigger | started | took | outcome | answer |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
