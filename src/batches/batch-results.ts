import { Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import { Database } from '../database/database.js';
import type { LoadedAttempt } from '../deliveries/loader.js';
import type { OutgoingResponse } from '../transport/types.js';
import type { Carried } from './batch-contents.js';
import { outcomeOf, readResults } from './results.js';

/** What an answer that speaks of each event means for the attempt. */
export interface Judged {
  outcome: 'delivered' | 'transient' | 'permanent';
  errorCode?: 'batch_partial' | 'batch_results_unreadable';
  errorDetail?: string;
  /** Whether the receiver has taken any of it: then it is well, whatever it did not take. */
  tookSome: boolean;
}

/** Follows what receivers say of each event that they got in an array. */
@Injectable()
export class BatchResults {
  constructor(private readonly database: Database) {}

  /**
   * What was taken, and what never will be, is written before the attempt is: whoever makes the attempt again after a crash sends
   * no more than the rest.
   *
   * @throws when the database cannot be written: all of it is then sent again
   */
  async ofBatch(
    batch: LoadedAttempt,
    items: readonly Carried[],
    response: OutgoingResponse,
  ): Promise<Judged> {
    const results = readResults(response.whole);
    if (!results) return UNREADABLE;
    const judged = items.map(({ delivery }) => ({
      id: delivery.id,
      outcome: outcomeOf(results.get(toId('event', delivery.event_id))),
    }));
    const ended = judged.filter(({ outcome }) => outcome !== 'transient');
    const left = judged.length - ended.length;
    if (ended.length > 0)
      await this.database.prepared('end_carried', END_CARRIED, [batch.id, JSON.stringify(ended), left > 0]);
    const tookSome = ended.some(({ outcome }) => outcome === 'delivered');
    return left === 0 ? { outcome: 'delivered', tookSome } : partial(left, judged.length, tookSome);
  }

  /** @param eventId UUID of the only one in the array */
  ofOne(eventId: string, response: OutgoingResponse): Judged {
    const results = readResults(response.whole);
    if (!results) return UNREADABLE;
    const outcome = outcomeOf(results.get(toId('event', eventId)));
    switch (outcome) {
      case 'delivered':
        return { outcome, tookSome: true };
      case 'permanent':
        return { outcome, tookSome: false };
      case 'transient':
        return partial(1, 1, false);
    }
  }
}

const UNREADABLE: Judged = {
  outcome: 'transient',
  errorCode: 'batch_results_unreadable',
  errorDetail: 'The answer 207 has no `results` that say of each event what became of it.',
  tookSome: false,
};

const partial = (left: number, all: number, tookSome: boolean): Judged => ({
  outcome: 'transient',
  errorCode: 'batch_partial',
  errorDetail: `${left} of ${all} events are to be sent again.`,
  tookSome,
});

/** What is left is another message from then on: receivers drop what they know by its id. */
const END_CARRIED = `
  WITH input AS (
    SELECT * FROM json_to_recordset($2::json) AS i (id uuid, outcome text)
  ), ended AS (
    UPDATE deliveries d SET status = CASE i.outcome WHEN 'delivered' THEN 'delivered' ELSE 'failed' END,
      status_reason = CASE i.outcome WHEN 'delivered' THEN NULL ELSE 'permanent' END, completed_at = now()
    FROM input i WHERE d.id = i.id AND d.batch_id = $1 AND d.status = 'batched'
  )
  UPDATE batches SET message_id = posthorn_uuid_v7() WHERE id = $1 AND $3`;
