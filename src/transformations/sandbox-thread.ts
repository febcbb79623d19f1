import { parentPort } from 'node:worker_threads';
import { getQuickJS } from 'quickjs-emscripten';
import { ownThread } from '../common/processor-time.js';
import { type Job, runJob } from './run.js';
import type { Program } from './transformation.js';

// The entry of a sandbox's thread. One job at a time: whoever asks waits for the answer.
const port = parentPort;
if (!port) throw new Error('this runs on a thread of a sandbox');

const quickjs = await getQuickJS();
port.on('message', (job: Job) => port.postMessage(runJob(quickjs, job)));

// What is compiled in the first runs is not to take the time of whoever comes first.
const WARM_UP: Program[] = [
  { kind: 'javascript', code: 'const transform = (event) => ({ body: event })' },
  { kind: 'declarative', spec: { omit: ['data'], path: '/{{ event.id }}' } },
];
const input = { event: '{}', eventId: '', nowMs: 0, endpoint: { id: '', url: '' }, maxBodyBytes: 100 };
for (let run = 0; run < 5; run += 1)
  for (const program of WARM_UP) runJob(quickjs, { kind: 'run', program, input });
port.postMessage(ownThread());
