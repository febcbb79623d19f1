import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { WorkflowNotFoundError } from '@temporalio/client';
import {
  ACCOUNT_ATTRIBUTE,
  BATCH_WINDOW_WORKFLOW,
  batchWindowId,
  ENDPOINT_ATTRIBUTE,
  lookSignal,
} from '../../workflows/contracts.js';
import { toId } from '../common/ids.js';
import { MicroBatch } from '../common/micro-batch.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable, Temporal } from '../temporal/temporal.js';

const CALL_WITHIN_MS = 5_000;
/** Few at once: deliveries need the engine more. Past so many that wait, windows are closed by whoever finds them late. */
const CALLS = { atOnce: 2, waiting: 5_000 };

/** A window as its workflow is to know it. UUIDs. */
export interface WindowRef {
  accountId: string;
  endpointId: string;
  windowId: string;
}

interface Call {
  ref: WindowRef;
  /** Null: the window is over, and its workflow need not wait for its end. */
  closesInMs: number | null;
}

/** The workflows that wait for the ends of windows. What they act on is in PostgreSQL. */
@Injectable()
export class BatchWindows {
  private readonly calls: MicroBatch<Call, undefined>;
  private closed = false;

  constructor(
    private readonly temporal: Temporal,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.calls = new MicroBatch(([call]) => this.make(call), { maxItems: 1, concurrency: CALLS.atOnce });
  }

  opened(ref: WindowRef, closesInMs: number): void {
    this.call({ ref, closesInMs });
  }

  over(ref: WindowRef): void {
    this.call({ ref, closesInMs: null });
  }

  /** What still waits is closed by whoever finds it late. */
  async close(): Promise<void> {
    this.closed = true;
    await this.calls.drained();
  }

  private call(call: Call): void {
    if (this.calls.waiting >= CALLS.waiting) return;
    this.calls.add(call).catch((error: unknown) => {
      // The record says when it is over: whoever finds it late closes it.
      if (!isTemporalUnavailable(error))
        this.logger.error({ err: error, ...call.ref }, 'a window waits for somebody to find it late');
    });
  }

  private async make(call: Call | undefined): Promise<undefined[]> {
    if (!call || this.closed) return [undefined];
    const { ref, closesInMs } = call;
    await (closesInMs === null ? this.tell(ref) : this.start(ref, closesInMs));
    return [undefined];
  }

  private async start({ accountId, endpointId, windowId }: WindowRef, closesInMs: number): Promise<void> {
    const endpoint = toId('endpoint', endpointId);
    await this.temporal.call(CALL_WITHIN_MS, (client) =>
      client.workflow.start(BATCH_WINDOW_WORKFLOW, {
        workflowId: batchWindowId(endpoint, windowId),
        taskQueue: this.temporal.taskQueue,
        args: [{ endpointId: endpoint, windowId, closesInMs }],
        workflowIdConflictPolicy: 'USE_EXISTING',
        staticSummary: `collects for ${endpoint}`,
        typedSearchAttributes: [
          { key: ACCOUNT_ATTRIBUTE, value: toId('account', accountId) },
          { key: ENDPOINT_ATTRIBUTE, value: endpoint },
        ],
      }),
    );
  }

  private async tell({ endpointId, windowId }: WindowRef): Promise<void> {
    try {
      await this.temporal.call(CALL_WITHIN_MS, (client) =>
        client.workflow.getHandle(batchWindowId(toId('endpoint', endpointId), windowId)).signal(lookSignal),
      );
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
}
