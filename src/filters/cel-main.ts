import type { CelJob, CelMessage } from './cel-protocol.js';
import { CelRunner } from './cel-runner.js';

/** The program of the process that runs CEL. Whoever started it ends it by letting go of it. */
const THREADS = 2;

const runner = new CelRunner(new URL('./cel-worker.js', import.meta.url), THREADS);
const tell = (message: CelMessage) => process.send?.(message);

// A Ctrl-C in the terminal is for the process that started this one, which still has events to commit.
process.on('SIGINT', () => undefined).on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit());
process.on('message', ({ id, owner, event, sources }: CelJob) => {
  runner.run(owner, event, sources).then(
    (results) => tell({ id, results }),
    (error: unknown) => tell({ id, failure: (error as Error).message }),
  );
});
tell('ready');
