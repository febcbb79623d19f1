import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  bundleWorkflowCode,
  DefaultLogger,
  type WorkflowBundleOption,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { PROJECT_ROOT } from '../common/version.js';

/** The bundle that the build made. Without one (running from sources) it is made now, which takes a second or two. */
export async function loadWorkflowBundle(): Promise<WorkflowBundleOption> {
  const built = join(PROJECT_ROOT, 'dist', 'workflow-bundle.js');
  return existsSync(built) ? { codePath: built } : bundleWorkflows(join(PROJECT_ROOT, 'workflows'), 'ts');
}

/**
 * Bundles the workflows of a folder. The workflow package and our modules beside the workflow are loaded once for all
 * workflows of a worker instead of once for each: the package keeps its state on the activator, and ours have none.
 *
 * @param extension of the sources in `folder`: `js` once compiled
 */
export function bundleWorkflows(
  folder: string,
  extension: 'ts' | 'js',
): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: join(folder, `index.${extension}`),
    preloadModules: [
      '@temporalio/workflow',
      ...['short-stacks', 'contracts', 'details', 'outcomes', 'schedule'].map((name) =>
        join(folder, `${name}.${extension}`),
      ),
    ],
    logger: new DefaultLogger('WARN'),
  });
}
