import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflows } from '../src/temporal/workflow-bundle.js';

// Runs as dist/scripts/bundle-workflows.js, beside the compiled workflows.
const dist = fileURLToPath(new URL('..', import.meta.url));

const { code } = await bundleWorkflows(join(dist, 'workflows'), 'js');
await writeFile(join(dist, 'workflow-bundle.js'), code);
