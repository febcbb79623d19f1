import { join } from 'node:path';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { bundleWorkflows } from '../../src/temporal/workflow-bundle.js';

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined;

/** The workflows as they stand in the source, bundled once for a whole test file. */
export function workflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  return (bundle ??= bundleWorkflows(join(PROJECT_ROOT, 'workflows'), 'ts'));
}
