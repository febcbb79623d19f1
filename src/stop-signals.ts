/** A signal that comes so soon after the first is the same one: npm hands on what a terminal gives to all who run in it. */
const SAME_WITHIN_MS = 500;

/**
 * Of SIGINT (Ctrl-C) and SIGTERM.
 *
 * @param asked called once
 * @param again called for each that comes after it
 */
export function onStopSignals(asked: () => void, again: () => void): void {
  let askedAtMs: number | undefined;
  const onSignal = () => {
    const now = performance.now();
    if (askedAtMs === undefined) {
      askedAtMs = now;
      asked();
    } else if (now - askedAtMs >= SAME_WITHIN_MS) again();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  // The same Ctrl-C ends those who read what is said.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}
