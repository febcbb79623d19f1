import { spawn } from 'node:child_process';

export type Progress = (line: string) => void;

const EVERY_MS = 5_000;
const KEPT_OUTPUT = 4_000;

/** Says what is being done, and then every few seconds for how long already; `detail` adds how far it is. */
export async function longStep<T>(
  progress: Progress,
  what: string,
  work: () => Promise<T>,
  detail: () => string = () => '',
): Promise<T> {
  const start = Date.now();
  progress(`${what} …`);
  const timer = setInterval(() => {
    progress(`${what} … ${Math.round((Date.now() - start) / 1000)} s${detail()}`);
  }, EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

export interface CommandOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
  timeoutMs: number;
  /** Ended early when it resolves; the command then fails with this reason. */
  giveUp?: (abort: (reason: string) => void) => () => void;
}

/**
 * Runs a command to its end.
 *
 * @returns what it wrote
 * @throws an Error in one line: that it cannot be started, took too long, or failed, with the last it wrote
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  { timeoutMs, giveUp, ...options }: CommandOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let aborted: string | undefined;
    const abort = (reason: string) => {
      aborted ??= reason;
      child.kill('SIGKILL');
    };
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-KEPT_OUTPUT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => abort(`not done after ${Math.round(timeoutMs / 1000)} s`), timeoutMs);
    const stopWatching = giveUp?.(abort);
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      stopWatching?.();
      finish();
    };
    child.once('error', (error) => settle(() => reject(error)));
    child.once('close', (code, signal) =>
      settle(() => {
        if (code === 0) resolve(output);
        else
          reject(
            new Error(
              aborted ??
                `${lastWords(output) || 'no output'} (ended with ${signal ?? `code ${code ?? '?'}`})`,
            ),
          );
      }),
    );
  });
}

/** The last lines of an output, as one. */
export const lastWords = (output: string, lines = 3): string =>
  output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-lines)
    .join(' | ')
    .slice(-600);
