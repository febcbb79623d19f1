import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Progress, longStep, runCommand } from './long-step.js';

const CONNECT_WITHIN_MS = 20_000;
const DONE_WITHIN_MS = 600_000;
const LOOK_MS = 500;

/** The SDK starts what it downloads, and stops with an error once it cannot: both are of no interest once the file is there. */
const SCRIPT = `
const { TestWorkflowEnvironment } = require(process.argv[1]);
const { Runtime } = require('@temporalio/worker');
Runtime.install({ shutdownSignals: [], logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} } });
const executable = { type: 'cached-download', downloadDir: process.argv[3], version: process.argv[4] };
const create = process.argv[2] === 'cli' ? 'createLocal' : 'createTimeSkipping';
TestWorkflowEnvironment[create]({ server: { executable } }).then(
  (env) => env.teardown().then(() => process.exit(0)),
  (error) => { console.error(reasons(error)); process.exit(1); },
);
function reasons(error) {
  return error ? [error.message, reasons(error.cause)].filter(Boolean).join(': ') : '';
}
`;

/**
 * Downloads a server as `@temporalio/testing` does, in a process of its own: it can be given up, and nothing of it stays here.
 *
 * @returns the path of the program in `folder`
 */
export async function officialDownload(
  kind: 'cli' | 'test-server',
  version: string,
  folder: string,
  progress: Progress,
): Promise<string> {
  let bytes = 0;
  const what = kind === 'cli' ? 'downloading the Temporal server' : "downloading Temporal's test server";
  const args = [
    '-e',
    SCRIPT,
    createRequire(import.meta.url).resolve('@temporalio/testing'),
    kind,
    folder,
    version,
  ];
  const run = () =>
    runCommand(process.execPath, args, {
      timeoutMs: DONE_WITHIN_MS,
      // Where modules are resolved from.
      cwd: import.meta.dirname,
      giveUp: (abort) => {
        const start = Date.now();
        const timer = setInterval(() => {
          void size(folder).then((now) => {
            bytes = now;
            if (now === 0 && Date.now() - start > CONNECT_WITHIN_MS)
              abort(`no answer for ${CONNECT_WITHIN_MS / 1000} s`);
          });
        }, LOOK_MS);
        return () => clearInterval(timer);
      },
    });
  let failure: unknown;
  await longStep(progress, what, run, () => (bytes === 0 ? '' : `, ${Math.round(bytes / 1e6)} MB`)).catch(
    (error: unknown) => {
      failure = error;
    },
  );
  const file = (await readdir(folder)).find(
    (name) => name.startsWith('temporal') && !name.endsWith('.downloading'),
  );
  if (file !== undefined) return join(folder, file);
  throw failure instanceof Error ? failure : new Error('it left no file');
}

async function size(folder: string): Promise<number> {
  let total = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    total += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0;
  }
  return total;
}
