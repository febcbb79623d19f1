import { createLogger } from '../logging/logger.js';
import { serve, type Serving } from '../serve.js';
import { onStopSignals } from '../stop-signals.js';
import { say, sayProgress, settleProgress, welcome } from '../terminal.js';
import { settingsOf } from './settings-of.js';

/** Until it is told to stop. */
export async function runServe(): Promise<void> {
  const settings = settingsOf();
  const logger = createLogger(settings.LOG_LEVEL);
  const started = Date.now();
  let wake: () => void = () => undefined;
  const stopAsked = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const up: { serving?: Serving } = {};
  const stopAtOnce = () => {
    say('Stopping at once.');
    // Before it is up, servers that were started end with this process.
    up.serving?.kill();
    process.exit(130);
  };
  onStopSignals(() => (up.serving ? wake() : stopAtOnce()), stopAtOnce);
  // Once it is up, what is told of its servers stays.
  const progress = (line: string) => (up.serving ? say(line) : sayProgress(line));
  const serving = await serve({ settings, logger, progress });
  up.serving = serving;
  settleProgress();
  process.stdout.write(welcome(serving, Date.now() - started));
  await stopAsked;
  say('Stopping: HTTP first, then the worker, then the servers. Ctrl-C again to stop at once.');
  await serving.stop();
  say('Stopped.');
  process.exit(0);
}
