import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWorkflowCode, type WorkflowBundleOption } from '@temporalio/worker';
import { PROJECT_ROOT } from '../common/version.js';

/** The bundle that the build made. Without one (running from sources) it is made now, which takes a second or two. */
export async function loadWorkflowBundle(): Promise<WorkflowBundleOption> {
  const built = join(PROJECT_ROOT, 'dist', 'workflow-bundle.js');
  if (existsSync(built)) return { codePath: built };
  return bundleWorkflowCode({ workflowsPath: join(PROJECT_ROOT, 'workflows', 'index.ts'), logger: SILENT });
}

const SILENT = {
  log: () => undefined,
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
