import { execFile } from 'node:child_process';
import { cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../../src/common/version.js';

const run = promisify(execFile);
const BUNDLE_WITHIN_MS = 120_000;

/** The id that the changed workflow gives to `patched()`. */
export const PATCH = 'chaos-a-breath-first';

/** Takes a durable timer before the first attempt, which histories of yesterday have none of. */
const CHANGED_WORKFLOW = `
import { patched, sleep } from '@temporalio/workflow';
import { delivery as deliver } from './delivery.workflow.js';
export * from './index.today.js';
export async function delivery(input) {
  if (patched('${PATCH}')) await sleep(1);
  return deliver(input);
}
`;

/** Makes the program as it could be after the next release: in this folder, with a workflow that was changed. */
export async function makeNextBuild(folder: string): Promise<void> {
  const dist = join(folder, 'dist');
  await mkdir(dist, { recursive: true });
  for (const name of ['activities', 'scripts', 'src', 'workflows'])
    await cp(join(PROJECT_ROOT, 'dist', name), join(dist, name), { recursive: true });
  await cp(join(PROJECT_ROOT, 'package.json'), join(folder, 'package.json'));
  await symlink(join(PROJECT_ROOT, 'node_modules'), join(folder, 'node_modules'));
  const index = join(dist, 'workflows', 'index.js');
  await rename(index, join(dist, 'workflows', 'index.today.js'));
  await writeFile(index, CHANGED_WORKFLOW);
  await run(process.execPath, [join(dist, 'scripts', 'bundle-workflows.js')], {
    cwd: folder,
    timeout: BUNDLE_WITHIN_MS,
  });
}
