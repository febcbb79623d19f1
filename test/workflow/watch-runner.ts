import { randomBytes } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import {
  ACCOUNT_NOTIFICATIONS_WORKFLOW,
  accountNotificationsWorkflowId,
  BATCH_WINDOW_WORKFLOW,
  type BatchActivities,
  batchWindowId,
  ENDPOINT_CREDENTIALS_WORKFLOW,
  ENDPOINT_HEALTH_WORKFLOW,
  ENDPOINT_VERIFICATION_WORKFLOW,
  endpointCredentialsWorkflowId,
  endpointHealthWorkflowId,
  endpointVerificationWorkflowId,
  type EndpointWatchActivities,
  lookSignal,
  type NotificationActivities,
  tellSignal,
} from '../../workflows/contracts.js';
import type { Engine } from './delivery-runner.js';
import { workflowBundle } from './workflow-bundle.js';

const WATCHES = {
  health: { type: ENDPOINT_HEALTH_WORKFLOW, idOf: endpointHealthWorkflowId },
  verification: { type: ENDPOINT_VERIFICATION_WORKFLOW, idOf: endpointVerificationWorkflowId },
  credentials: { type: ENDPOINT_CREDENTIALS_WORKFLOW, idOf: endpointCredentialsWorkflowId },
};

/** Runs the workflows beside those of deliveries, each with activities that the test gives. */
export class WatchRunner {
  private constructor(
    private readonly engine: Engine,
    private readonly taskQueue: string,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(
    engine: Engine,
    activities: Partial<EndpointWatchActivities & NotificationActivities & BatchActivities>,
  ): Promise<WatchRunner> {
    const taskQueue = `watches-${randomBytes(4).toString('hex')}`;
    const worker = await Worker.create({
      connection: engine.connection,
      identity: 'watch-runner',
      taskQueue,
      workflowBundle: await workflowBundle(),
      activities,
      // An activity that a failed test left in flight keeps nobody.
      shutdownForceTime: '5s',
    });
    const running = worker.run();
    return new WatchRunner(engine, taskQueue, async () => {
      worker.shutdown();
      await running;
    });
  }

  /** Begins a watch, or has it look now. @param endpointId `ep_…` */
  look(kind: keyof typeof WATCHES, endpointId: string): Promise<WorkflowHandle> {
    const { type, idOf } = WATCHES[kind];
    return this.engine.client.workflow.signalWithStart(type, {
      workflowId: idOf(endpointId),
      taskQueue: this.taskQueue,
      args: [{ endpointId }],
      signal: lookSignal,
      signalArgs: [],
    });
  }

  /** Opens a window. @param endpointId `ep_…` */
  collect(endpointId: string, windowId: string, closesInMs: number): Promise<WorkflowHandle> {
    return this.engine.client.workflow.start(BATCH_WINDOW_WORKFLOW, {
      workflowId: batchWindowId(endpointId, windowId),
      taskQueue: this.taskQueue,
      args: [{ endpointId, windowId, closesInMs }],
    });
  }

  /** @param accountId `acc_…` */
  tell(accountId: string): Promise<WorkflowHandle> {
    return this.engine.client.workflow.signalWithStart(ACCOUNT_NOTIFICATIONS_WORKFLOW, {
      workflowId: accountNotificationsWorkflowId(accountId),
      taskQueue: this.taskQueue,
      args: [{ accountId }],
      signal: tellSignal,
      signalArgs: [],
    });
  }
}
