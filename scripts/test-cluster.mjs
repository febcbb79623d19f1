import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, setUp } from './setup.mjs';
import { say } from './terminal.mjs';

/** End-to-end tests that make no sense in a cluster, each with the reason. */
const LEFT_OUT = {
  'test/e2e/batch-process.test.ts': 'asks the parts of one process',
  'test/e2e/process.test.ts': 'about one process with its embedded servers, which a cluster has none of',
  'test/e2e/endpoint-changes.test.ts':
    'looks at the record while the reconciler of the one process is stopped',
  'test/e2e/maintenance.test.ts': 'about what one process does by the hour',
  'test/e2e/notifications.test.ts': 'asks the sender of one process to send at once',
  'test/e2e/one-process.test.ts': 'about what one process does with what it has in hand',
  'test/e2e/version-sunsets.test.ts': 'about what one process does by the hour',
};

await setUp();

const chosen = process.argv.slice(2);
const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
const child = spawn(
  process.execPath,
  [
    jest,
    ...Object.keys(LEFT_OUT).map((path) => `--testPathIgnorePatterns=${path}`),
    // One test file at a time, since each starts at least four processes; and something must end the list of patterns.
    '--runInBand',
    ...(chosen.length > 0 ? chosen : ['test/e2e']),
  ],
  {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      NODE_ENV: 'test',
      POSTHORN_TEST_SHAPE: 'cluster',
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`,
    },
  },
);
// A terminal sends Ctrl-C to Jest as well; we stay until it has stopped its servers.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.once('exit', (code, signal) => {
  process.exitCode = code ?? 1;
  if (signal) say(`Jest was ended by ${signal}`);
  say('\nLeft out, because they make no sense in a cluster:');
  for (const [path, reason] of Object.entries(LEFT_OUT)) say(`  ${path}: ${reason}`);
});
