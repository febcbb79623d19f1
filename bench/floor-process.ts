import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createFloorActivities } from './floor-activities.js';
import { type Begin, type Begun, flood, pace } from './load.js';

/** What {@link FloorSide} sends to this process. */
export type FloorCommand =
  | { kind: 'flood'; events: number; publishers: number }
  | { kind: 'pace'; events: number; perSecond: number }
  | { kind: 'stop' };

/** What it answers: once when ready, then once for each command that begins deliveries. */
export type FloorAnswer = 'ready' | Begun;

export interface FloorOptions {
  temporalAddress: string;
  namespace: string;
  receiverUrl: string;
  payloadBytes: number;
}

const TASK_QUEUE = `bench-floor-${process.pid}`;

// Client and worker share a process and a connection, as in Posthorn: only then do workflows start eagerly.
const options = JSON.parse(process.argv[2] ?? '{}') as FloorOptions;
const logger = new DefaultLogger('WARN');
Runtime.install({ shutdownSignals: [], logger });
const connection = await NativeConnection.connect({
  address: options.temporalAddress,
  grpcCompression: { codec: 'none' },
});
const client = new Client({ connection, namespace: options.namespace });
const worker = await Worker.create({
  connection,
  namespace: options.namespace,
  taskQueue: TASK_QUEUE,
  workflowBundle: await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./floor.workflow.js', import.meta.url)),
    logger,
  }),
  activities: createFloorActivities(options.receiverUrl, options.payloadBytes),
  maxCachedWorkflows: 500,
  maxConcurrentWorkflowTaskExecutions: 200,
  maxConcurrentLocalActivityExecutions: 256,
  workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
  activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
});

const run = `${process.pid}-${Date.now()}`;
let count = 0;
const begin: Begin = async () => {
  const id = `floor/${run}/${(count += 1)}`;
  await client.workflow.start('floor', {
    workflowId: id,
    taskQueue: TASK_QUEUE,
    args: [id],
    requestEagerStart: true,
  });
  return id;
};

const answer = (message: FloorAnswer) => process.send?.(message);
const stop = () => {
  if (worker.getState() === 'RUNNING') worker.shutdown();
};
process.on('message', (command: FloorCommand) => {
  switch (command.kind) {
    case 'flood':
      void flood(begin, command.events, command.publishers).then(answer);
      return;
    case 'pace':
      void pace(begin, command.events, command.perSecond).then(answer);
      return;
    case 'stop':
      stop();
  }
});
// Whoever drives this is gone, or is about to say stop.
process.on('disconnect', stop).on('SIGINT', () => undefined);
answer('ready');
await worker.run();
await connection.close();
process.exit(0);
