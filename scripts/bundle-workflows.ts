import { bundleWorkflowCode } from '@temporalio/worker';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Runs as dist/scripts/bundle-workflows.js, beside the compiled workflows.
const dist = fileURLToPath(new URL('..', import.meta.url));

const { code } = await bundleWorkflowCode({ workflowsPath: join(dist, 'workflows', 'index.js') });
await writeFile(join(dist, 'workflow-bundle.js'), code);
