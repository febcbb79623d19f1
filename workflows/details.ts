import type { DeliveryLog } from './contracts.js';

/** The delivery in words and a table (Markdown), as Temporal's Web UI shows it under "Current details". */
export function describeDelivery(log: DeliveryLog, attemptsMax: number | null): string {
  const of = attemptsMax === null ? '' : ` of ${attemptsMax}`;
  const next =
    log.nextAttemptAtMs === null ? '' : ` Next attempt at ${new Date(log.nextAttemptAtMs).toISOString()}.`;
  const headline = {
    attempting: `Attempt ${log.attempts.length + 1}${of} is under way.`,
    waiting: `${log.attempts.length}${of} attempts made.${next}`,
    held: `Held: the endpoint is paused. ${log.attempts.length} attempts made.`,
    ended: `Ended after ${log.attempts.length} attempts.`,
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
