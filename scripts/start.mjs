import { setUp } from './setup.mjs';

const PARENT_POLL_MS = 1_000;

await setUp();
process.setSourceMapsEnabled(true);
stopWithNpm();
// In this process: a wrapper would have to hand every signal on.
await import('../dist/src/main.js');

/** Where npm was killed and could hand nothing on, we stop as by SIGTERM instead of living on unseen. */
function stopWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, PARENT_POLL_MS).unref();
}
