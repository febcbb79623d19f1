import { spawn } from 'node:child_process';

const SPINNER_MS = 120;
const LINE_MS = 10_000;
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';

/** What is said goes to standard error: standard output is for what a command makes. */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Shows that something is being done and for how long: one moving line in a terminal, a line now and then in a pipe. */
export async function step(title, work) {
  const start = Date.now();
  const seconds = () => Math.round((Date.now() - start) / 1000);
  const inPlace = process.stderr.isTTY === true;
  if (!inPlace) say(`… ${title}`);
  let frame = 0;
  const timer = setInterval(
    () => {
      if (!inPlace) say(`… ${title}, ${seconds()} s`);
      else process.stderr.write(`\r\x1b[2K${FRAMES[frame++ % FRAMES.length]} ${title} ${seconds()} s`);
    },
    inPlace ? SPINNER_MS : LINE_MS,
  );
  try {
    const result = await work();
    if (inPlace) process.stderr.write(`\r\x1b[2K✓ ${title} (${seconds()} s)\n`);
    else say(`✓ ${title} (${seconds()} s)`);
    return result;
  } catch (error) {
    if (inPlace) process.stderr.write(`\r\x1b[2K✗ ${title}\n`);
    else say(`✗ ${title}`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** A command that failed; its whole output is worth seeing. */
export class CommandError extends Error {
  constructor(command, how, output) {
    super(`${command} failed (${how}):\n\n${output.trim()}\n`);
  }
}

/** Runs a command quietly. Throws a CommandError with all it wrote when it fails. */
export async function run(command, args, options = {}) {
  const shown = [command, ...args].join(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.once('error', (error) => reject(new CommandError(shown, error.message, output)));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new CommandError(shown, signal ?? `code ${code}`, output));
    });
  });
}
