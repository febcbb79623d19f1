import type pg from 'pg';
import { invalidField } from '../common/problems.js';
import { isBinary } from '../messages/array.js';
import type { FormatName } from '../messages/message.js';
import type { BatchLimits } from './batches.schema.js';

/** @throws Problem `validation_failed` for a format of which several cannot be sent together */
export function checkCollectable(batch: BatchLimits | null, format: FormatName): void {
  if (batch !== null && isBinary(format))
    throw invalidField(
      '/format',
      'must not be `cloudevents-binary` with `batch`: headers tell of one event alone',
    );
}

/** What was collected under other limits goes when the change is committed. */
export async function closeOpenWindow(
  client: pg.PoolClient,
  before: { id: string; batch: BatchLimits | null },
  after: { batch: BatchLimits | null },
): Promise<void> {
  if (JSON.stringify(before.batch) === JSON.stringify(after.batch)) return;
  await client.query('UPDATE batch_windows SET closes_at = now() WHERE endpoint_id = $1', [before.id]);
}
