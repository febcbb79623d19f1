import { SettingsError } from '../config/settings.js';
import { EmbeddedError } from '../embedded/index.js';
import { onStopSignals } from '../stop-signals.js';
import { say, settleProgress } from '../terminal.js';
import { playDemo } from './demo.js';
import { DemoError } from './demo-error.js';
import { Screen } from './screen.js';
import { findOrStartSystem, type System } from './system.js';

/** Ctrl-C, or a polite kill. */
class Interrupted extends Error {}

const INTERRUPTED_CODE = 130;

const interruption = new AbortController();
let system: System | undefined;
onStopSignals(
  () => interruption.abort(new Interrupted()),
  () => {
    system?.own?.kill();
    process.exit(INTERRUPTED_CODE);
  },
);

try {
  process.exitCode = await main(interruption.signal);
} catch (error) {
  settleProgress();
  process.exitCode = explain(error);
} finally {
  await system?.own?.stop();
}
// Temporal's native runtime would keep the process for a while.
process.exit();

async function main(signal: AbortSignal): Promise<number> {
  const screen = new Screen(process.stdout);
  screen.write('', `  ${screen.bold('Posthorn demo')}`, '');
  const startedAt = Date.now();
  system = await findOrStartSystem(process.env);
  signal.throwIfAborted();
  const took = `started in ${((Date.now() - startedAt) / 1000).toFixed(1)} s, stops with the demo`;
  screen.step('Posthorn', `${system.url} ${screen.dim(system.own ? `(${took})` : '(already running)')}`);
  const surprises = await playDemo(system, screen, signal);
  if (surprises.length > 0) {
    screen.write(`  ${screen.red('Not as expected:')}`, ...surprises.map((text) => `    ${text}`), '');
    return 1;
  }
  screen.write(`  ${screen.green('✓')} Everything happened as it should.`, '');
  if (system.own) await lookAround(screen, signal);
  return 0;
}

/** A Posthorn that was started for the demo stays for whoever watches, and goes at once where nobody does. */
async function lookAround(screen: Screen, signal: AbortSignal): Promise<void> {
  if (!screen.isTerminal || !process.stdin.isTTY) {
    screen.write(
      '  Posthorn stops now. `npm start` brings it back with this data, and the links above work again.',
      '',
    );
    return;
  }
  screen.write('  Posthorn stays up for the links above. Ctrl-C stops it.', '');
  const keepAlive = setInterval(() => undefined, 60_000);
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  clearInterval(keepAlive);
  screen.write('', '  Stopping.');
}

function explain(error: unknown): number {
  if (error instanceof Interrupted) {
    say('\n  Interrupted.');
    return INTERRUPTED_CODE;
  }
  if (error instanceof SettingsError) for (const text of error.lines) say(text);
  else if (error instanceof EmbeddedError) say(`\n  ${error.message}`);
  else if (error instanceof DemoError) {
    say(`\n  The demo stopped: ${error.message}`);
    if (error.hint !== undefined) say(`  ${error.hint}`);
  } else if (isPortTaken(error)) {
    say(
      `\n  Port ${error.port} is taken. If Posthorn runs there, set POSTHORN_URL; else POSTHORN_PORT to another one.`,
    );
  } else
    say(`\n  The demo stopped: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}

function isPortTaken(error: unknown): error is Error & { port: number } {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
