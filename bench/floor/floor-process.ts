import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { type Begin, flood, pace } from '../load/load.js';
import { answerCommands } from '../processes/commands.js';
import { createFloorActivities } from './floor-activities.js';

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
const running = worker.run();

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
  return [id];
};

const commands = {
  flood: ({ calls, publishers }: { calls: number; publishers: number }) => flood(begin, calls, publishers),
  pace: ({ calls, perSecond }: { calls: number; perSecond: number }) => pace(begin, calls, perSecond),
  async stop(): Promise<void> {
    worker.shutdown();
    await running;
    await connection.close();
  },
};

export type FloorCommands = typeof commands;
answerCommands(commands);
