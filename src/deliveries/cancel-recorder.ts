import { Injectable } from '@nestjs/common';
import { WorkflowNotFoundError } from '@temporalio/client';
import { Database } from '../database/database.js';
import { Temporal } from '../temporal/temporal.js';

const CANCEL_WITHIN_MS = 5_000;

/**
 * Reasons that came from the record in the first place. Writing them back could only undo what happened since: a
 * delivery that was cancelled and then sent again is open once more while its old workflow is still ending.
 */
const RECORDED_ALREADY = ['cancelled_by_request', 'endpoint_deleted', 'endpoint_disabled'];

/** Records that a delivery was cancelled through Temporal, and lets its workflow end as Cancelled. */
@Injectable()
export class CancelRecorder {
  constructor(
    private readonly database: Database,
    private readonly temporal: Temporal,
  ) {}

  /**
   * @param deliveryId UUID
   * @param cancelWorkflowId the workflow whose cancellation is still to be requested, null when it was
   */
  async record(deliveryId: string, reason: string, cancelWorkflowId: string | null): Promise<void> {
    await this.database.prepared(
      'record_cancelled',
      `UPDATE deliveries SET status = 'cancelled', status_reason = $2, next_attempt_at = NULL, due_at = NULL,
         tell = NULL, lease = NULL, completed_at = now()
        WHERE id = $1 AND status IN ('pending', 'retrying', 'held') AND NOT $2 = ANY ($3::text[])`,
      [deliveryId, reason, RECORDED_ALREADY],
    );
    if (cancelWorkflowId === null) return;
    try {
      await this.temporal.call(CANCEL_WITHIN_MS, (client) =>
        client.workflow.getHandle(cancelWorkflowId).cancel(),
      );
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
}
