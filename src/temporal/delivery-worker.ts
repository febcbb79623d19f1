import {
  type NativeConnection,
  Worker,
  type WorkerOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import type { Logger } from 'pino';
import type {
  BatchActivities,
  DeliveryActivities,
  EndpointWatchActivities,
  NotificationActivities,
} from '../../workflows/contracts.js';
import type { Settings } from '../config/settings.js';
import type { Temporal } from './temporal.js';

/** Of every workflow there is. */
export type Activities = DeliveryActivities &
  EndpointWatchActivities &
  NotificationActivities &
  BatchActivities;

const RESTART_AFTER_MS = 1_000;
/** Attempts that are still under way so long after the grace period are cut off. */
export const CUT_OFF_AFTER_MS = 5_000;
/** First attempts that may be under way in workflow tasks: more than there are of receivers that linger, or are not known. */
const MAX_WORKFLOW_TASKS = 400;
/** Open workflows kept in memory; a completed one needs no place, and a sleeping one is replayed when it wakes. */
const MAX_CACHED_WORKFLOWS = 500;

/**
 * For how long a workflow may compute without a pause. The SDK takes 5 s by the clock: a process that is frozen for longer in such a
 * moment was cut off in the middle of it, and Node ends one whose asynchronous stack is left so. Ours compute for moments.
 */
export const NEVER_CUT_OFF = { isolateExecutionTimeout: '1 day' };

/** Runs the workflows and activities of deliveries, and starts over when the worker fails. */
export class DeliveryWorker {
  private worker: Worker | undefined;
  private running: Promise<void> | undefined;
  private stopping = false;
  private wakeStop: () => void = () => undefined;

  constructor(
    private readonly temporal: Temporal,
    private readonly activities: Activities,
    private readonly bundle: WorkflowBundleOption,
    private readonly settings: Settings,
    private readonly logger: Logger,
  ) {}

  /** Returns at once; the worker begins when Temporal can be reached. */
  open(): void {
    this.running ??= this.keepRunning();
  }

  /** Takes no new task, lets attempts under way end within the grace period, and resolves when all has stopped. */
  async close(): Promise<void> {
    this.stopping = true;
    this.wakeStop();
    if (this.worker?.getState() === 'RUNNING') this.worker.shutdown();
    await this.running;
  }

  private async keepRunning(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.wakeStop = resolve;
    });
    while (!this.isStopping()) {
      try {
        const connection = await Promise.race([this.temporal.ready(), stopped]);
        if (!connection || this.isStopping()) return;
        this.worker = await this.create(connection);
        // A worker that never ran would keep its hold on the connection, so one that comes too late runs and stops.
        const run = this.worker.run();
        if (this.isStopping()) this.worker.shutdown();
        await run;
      } catch (error) {
        if (this.isStopping()) return;
        this.logger.error({ err: error }, 'the delivery worker failed and starts over');
        await Promise.race([new Promise((resolve) => setTimeout(resolve, RESTART_AFTER_MS)), stopped]);
      }
    }
  }

  private isStopping(): boolean {
    return this.stopping;
  }

  private async create(connection: NativeConnection): Promise<Worker> {
    const { SHUTDOWN_SECONDS: grace, ATTEMPT_CONCURRENCY: attempts } = this.settings;
    const options: WorkerOptions = {
      ...NEVER_CUT_OFF,
      connection,
      namespace: this.temporal.namespace,
      taskQueue: this.temporal.taskQueue,
      workflowBundle: this.bundle,
      activities: this.activities,
      maxCachedWorkflows: MAX_CACHED_WORKFLOWS,
      maxConcurrentWorkflowTaskExecutions: MAX_WORKFLOW_TASKS,
      maxConcurrentLocalActivityExecutions: attempts,
      maxConcurrentActivityTaskExecutions: attempts,
      workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 4 },
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
      shutdownGraceTime: grace * 1000,
      shutdownForceTime: grace * 1000 + CUT_OFF_AFTER_MS,
    };
    try {
      return await Worker.create(options);
    } catch (error) {
      // The SDK leaves one that could not ask for its namespace registered, and its connection takes no other for the task queue.
      this.temporal.replace(connection);
      throw error;
    }
  }
}
