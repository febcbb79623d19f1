import { randomBytes } from 'node:crypto';
import { type Client, type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { type NativeConnection, Worker } from '@temporalio/worker';
import {
  ACCOUNT_ATTRIBUTE,
  cancelSignal,
  DELIVERY_WORKFLOW,
  type DeliveryActivities,
  type DeliveryInput,
  type DeliveryLog,
  type DeliveryResult,
  deliveryWorkflowId,
  ENDPOINT_ATTRIBUTE,
  EVENT_ATTRIBUTE,
  holdSignal,
  logQuery,
  paceSignal,
  releaseSignal,
  retryNowUpdate,
  STATE_ATTRIBUTE,
} from '../../workflows/contracts.js';
import { toId, uuidV7 } from '../../src/common/ids.js';
import { until } from '../support/until.js';
import { type Reply, ScriptedReceiver, type ScriptedReceiverOptions } from './scripted-receiver.js';
import { workflowBundle } from './workflow-bundle.js';

export type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

export interface Engine {
  client: Client;
  connection: NativeConnection;
  /** Unix milliseconds by the server's clock. */
  now: () => Promise<number>;
}

export interface DeliverOptions extends Pick<ScriptedReceiverOptions, 'schedule' | 'write'> {
  from?: DeliveryInput['from'];
  slow?: boolean;
  /** Goes on under the workflow id of this delivery. */
  after?: Delivery;
}

const IDENTITY = 'delivery-runner';
/** Of every delivery. */
export const PRIORITY = 2;

/** Runs delivery workflows of the current source, each with a receiver of its own that follows a script. */
export class DeliveryRunner {
  private readonly receivers = new Map<string, DeliveryActivities>();
  private readonly deliveries: Delivery<DeliveryActivities>[] = [];

  private constructor(
    private readonly engine: Engine,
    private readonly taskQueue: string,
    private readonly worker: { stop: () => Promise<void> },
  ) {}

  /** @param maxCachedWorkflows 0 has every workflow task replay its whole history */
  static async start(engine: Engine, maxCachedWorkflows = 100): Promise<DeliveryRunner> {
    const taskQueue = `deliveries-${randomBytes(4).toString('hex')}`;
    const find = (deliveryId: string) => {
      const receiver = runner.receivers.get(deliveryId);
      if (!receiver) throw new Error(`no receiver for ${deliveryId}`);
      return receiver;
    };
    const activities: DeliveryActivities = {
      attemptDelivery: (request) => find(request.deliveryId).attemptDelivery(request),
      recordAttempt: (request) => find(request.deliveryId).recordAttempt(request),
      recordCancelled: (request) => find(request.deliveryId).recordCancelled(request),
    };
    const worker = await Worker.create({
      connection: engine.connection,
      identity: IDENTITY,
      taskQueue,
      workflowBundle: await workflowBundle(),
      activities,
      maxCachedWorkflows,
      // An attempt that a failed test left in flight keeps nobody.
      shutdownForceTime: '5s',
    });
    const running = worker.run();
    const stop = async () => {
      worker.shutdown();
      await running;
    };
    const runner = new DeliveryRunner(engine, taskQueue, { stop });
    return runner;
  }

  /** Delivers to a receiver that follows a script. */
  deliver(replies: readonly Reply[], options: DeliverOptions = {}): Promise<Delivery> {
    const { client, now } = this.engine;
    const { after, from, slow, ...scripted } = options;
    const receiver = new ScriptedReceiver({
      ...scripted,
      replies,
      now,
      cancelWorkflow: async (workflowId) => {
        await client.workflow.getHandle(workflowId).cancel();
      },
    });
    return this.deliverThrough(receiver, after?.ids ?? newIds(), {
      ...(from && { from }),
      ...(slow && { slow }),
    });
  }

  async deliverThrough<Receiver extends DeliveryActivities>(
    receiver: Receiver,
    ids = newIds(),
    input: Pick<DeliveryInput, 'from' | 'slow'> = {},
  ): Promise<Delivery<Receiver>> {
    const { client } = this.engine;
    this.receivers.set(ids.deliveryId, receiver);
    const { deliveryId, eventId, endpointId } = ids;
    const handle = await client.workflow.start<(input: DeliveryInput) => Promise<DeliveryResult>>(
      DELIVERY_WORKFLOW,
      {
        workflowId: deliveryWorkflowId(eventId, endpointId),
        taskQueue: this.taskQueue,
        args: [{ deliveryId, eventId, endpointId, ...input }],
        priority: { priorityKey: PRIORITY, fairnessKey: ids.accountId },
        staticSummary: 'invoice.paid → receiver.example',
        typedSearchAttributes: [
          { key: ACCOUNT_ATTRIBUTE, value: ids.accountId },
          { key: ENDPOINT_ATTRIBUTE, value: endpointId },
          { key: EVENT_ATTRIBUTE, value: eventId },
        ],
      },
    );
    const pinned = client.workflow.getHandle<() => Promise<DeliveryResult>>(
      handle.workflowId,
      handle.firstExecutionRunId,
    );
    const delivery = new Delivery(client, pinned, handle.firstExecutionRunId, ids, receiver);
    this.deliveries.push(delivery);
    return delivery;
  }

  async close(): Promise<void> {
    for (const delivery of this.deliveries) await delivery.terminate();
    await this.worker.stop();
  }
}

function stateSet(event: HistoryEvent): string | undefined {
  const set = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields;
  const data = set?.[STATE_ATTRIBUTE.name]?.data;
  return data ? (JSON.parse(Buffer.from(data).toString()) as string) : undefined;
}

type Ids = ReturnType<typeof newIds>;

/** A delivery under way, as an operator sees it. */
export class Delivery<Receiver = ScriptedReceiver> {
  constructor(
    private readonly client: Client,
    readonly handle: WorkflowHandle<() => Promise<DeliveryResult>>,
    readonly runId: string,
    readonly ids: Ids,
    readonly receiver: Receiver,
  ) {}

  /** Skips time until the workflow is closed. @throws WorkflowFailedError */
  result(): Promise<DeliveryResult> {
    return this.handle.result();
  }

  log(): Promise<DeliveryLog> {
    return this.handle.query(logQuery);
  }

  retryNow(recorded = 0): Promise<{ attempt: number }> {
    return this.handle.executeUpdate(retryNowUpdate, { args: [recorded] });
  }

  cancel(reason: string): Promise<void> {
    return this.handle.signal(cancelSignal, reason);
  }

  hold(): Promise<void> {
    return this.handle.signal(holdSignal);
  }

  release(): Promise<void> {
    return this.handle.signal(releaseSignal);
  }

  pace(): Promise<void> {
    return this.handle.signal(paceSignal);
  }

  /** What Temporal's Web UI shows under "Current details". */
  async currentDetails(): Promise<string> {
    const metadata = await this.handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    return metadata.currentDetails;
  }

  async history(): Promise<HistoryEvent[]> {
    return (await this.handle.fetchHistory()).events ?? [];
  }

  /** Waits until the history holds `count` events that match. */
  async happened(matches: (event: HistoryEvent) => boolean, count = 1): Promise<void> {
    // Asked again and again, because the time-skipping server answers no long poll before a workflow is closed.
    await until(
      () => this.history(),
      (events) => events.filter(matches).length >= count,
    );
  }

  /** The values that the state's search attribute was set to, in order. */
  async states(): Promise<string[]> {
    return (await this.history()).flatMap((event) => stateSet(event) ?? []);
  }

  /** Waits until the state's search attribute is set to this value for the `count`th time. */
  becomes(state: 'retrying' | 'held', count = 1): Promise<void> {
    return this.happened((event) => stateSet(event) === state, count);
  }

  /** Waits until it sleeps for the `count`th time. */
  sleeps(count = 1): Promise<void> {
    return this.happened((event) => Boolean(event.timerStartedEventAttributes), count);
  }

  async terminate(): Promise<void> {
    try {
      await this.handle.terminate();
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
}

function newIds() {
  const uuid = () => uuidV7(Date.now());
  return {
    accountId: toId('account', uuid()),
    deliveryId: toId('delivery', uuid()),
    eventId: toId('event', uuid()),
    endpointId: toId('endpoint', uuid()),
  };
}
