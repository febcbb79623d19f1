import { Injectable } from '@nestjs/common';
import { type DeliveryLog, logQuery } from '../../workflows/contracts.js';
import { Temporal } from '../temporal/temporal.js';

/** A reader of the log does not wait longer than this for a workflow that is busy or a server that is away. */
const ASK_WITHIN_MS = 1_500;

export interface LiveDelivery {
  runId: string | null;
  /** Null when no workflow is open, or it could not be asked in time. */
  log: DeliveryLog | null;
}

/** Asks the running workflow of a delivery for its state. */
@Injectable()
export class LiveLog {
  constructor(private readonly temporal: Temporal) {}

  /** Never rejects: without an answer the record speaks. @param ask false to look up the run alone */
  async read(workflowId: string, ask: boolean): Promise<LiveDelivery> {
    let runId: string | null = null;
    try {
      return await this.temporal.callWorker(ASK_WITHIN_MS, async (client) => {
        const description = await client.workflow.getHandle(workflowId).describe();
        ({ runId } = description);
        if (!ask || description.status.name !== 'RUNNING') return { runId, log: null };
        const log = await client.workflow.getHandle(workflowId, runId).query(logQuery);
        return { runId, log };
      });
    } catch {
      return { runId, log: null };
    }
  }
}
