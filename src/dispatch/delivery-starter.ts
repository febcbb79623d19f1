import { Injectable } from '@nestjs/common';
import { WorkflowExecutionAlreadyStartedError, type WorkflowStartOptions } from '@temporalio/client';
import {
  ACCOUNT_ATTRIBUTE,
  DELIVERY_WORKFLOW,
  type DeliveryInput,
  deliveryWorkflowId,
  ENDPOINT_ATTRIBUTE,
  EVENT_ATTRIBUTE,
  releaseSignal,
} from '../../workflows/contracts.js';
import { toId } from '../common/ids.js';
import { parseUrl } from '../common/parse-url.js';
import type { PriorityLevel } from '../common/priority.js';
import { Temporal } from '../temporal/temporal.js';

/** What is needed to start a delivery's workflow. Ids are UUIDs. */
export interface DeliveryRef {
  deliveryId: string;
  accountId: string;
  eventId: string;
  endpointId: string;
  eventType: string;
  url: string;
  priority: PriorityLevel;
}

const START_WITHIN_MS = 10_000;

type WorkflowRef = Pick<DeliveryRef, 'deliveryId' | 'eventId' | 'endpointId'>;

/** What is delivered: an event, or a batch, which has no event but itself. */
const subjectOf = ({ deliveryId, eventId }: WorkflowRef): string =>
  eventId === deliveryId ? toId('delivery', deliveryId) : toId('event', eventId);

export const workflowIdOf = (ref: WorkflowRef): string =>
  deliveryWorkflowId(subjectOf(ref), toId('endpoint', ref.endpointId));

/** Starts delivery workflows: at most one runs for an event and endpoint, whoever asks. */
@Injectable()
export class DeliveryStarter {
  constructor(private readonly temporal: Temporal) {}

  /**
   * @param options `eager`: whether a worker of this process may take the first task in the answer to the start; `slow`:
   * whether the receiver is likely to take long
   * @returns false when it runs already
   */
  async start(
    ref: DeliveryRef,
    options: { eager: boolean; slow?: boolean; from?: DeliveryInput['from'] },
  ): Promise<boolean> {
    try {
      await this.temporal.call(START_WITHIN_MS, (client) =>
        client.workflow.start(DELIVERY_WORKFLOW, {
          ...this.startOptions(ref, options.from, options.slow),
          workflowIdConflictPolicy: 'FAIL',
          requestEagerStart: options.eager,
        }),
      );
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** Lets a held workflow go on, and starts one where there is none. */
  async release(ref: DeliveryRef, from: DeliveryInput['from']): Promise<void> {
    await this.temporal.call(START_WITHIN_MS, (client) =>
      client.workflow.signalWithStart(DELIVERY_WORKFLOW, {
        ...this.startOptions(ref, from),
        signal: releaseSignal,
        signalArgs: [],
      }),
    );
  }

  private startOptions(
    ref: DeliveryRef,
    from: DeliveryInput['from'],
    slow = false,
  ): WorkflowStartOptions & { args: [DeliveryInput] } {
    const eventId = subjectOf(ref);
    const endpointId = toId('endpoint', ref.endpointId);
    return {
      workflowId: deliveryWorkflowId(eventId, endpointId),
      taskQueue: this.temporal.taskQueue,
      args: [
        {
          deliveryId: toId('delivery', ref.deliveryId),
          eventId,
          endpointId,
          ...(from && { from }),
          ...(slow && { slow }),
        },
      ],
      // Tasks of one priority are handed out to accounts in turns.
      priority: { priorityKey: ref.priority, fairnessKey: toId('account', ref.accountId) },
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `${ref.eventType} → ${hostOf(ref.url)}`,
      typedSearchAttributes: [
        { key: ACCOUNT_ATTRIBUTE, value: toId('account', ref.accountId) },
        { key: ENDPOINT_ATTRIBUTE, value: endpointId },
        { key: EVENT_ATTRIBUTE, value: eventId },
      ],
    };
  }
}

/** The host alone: a path or query of a customer's URL may hold a token. */
function hostOf(url: string): string {
  return parseUrl(url)?.host ?? 'unknown';
}
