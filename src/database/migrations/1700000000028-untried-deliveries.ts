import type { MigrationInterface, QueryRunner } from 'typeorm';

const UNTRIED = `status = 'pending' AND attempt_count = 0 AND next_trigger = 'schedule' AND tell IS NULL`;

/**
 * Who looks for what nobody has tried is not to look past what workflows are to be told, of which one endpoint may have a
 * million, nor the other way round. Every row is in one of the two indexes.
 */
export class UntriedDeliveries1700000000028 implements MigrationInterface {
  readonly name = 'UntriedDeliveries1700000000028';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of [
      `CREATE INDEX deliveries_untried ON deliveries (due_at) WHERE due_at IS NOT NULL AND ${UNTRIED}`,
      `CREATE INDEX deliveries_unsettled ON deliveries (due_at) WHERE due_at IS NOT NULL AND NOT (${UNTRIED})`,
      // Last: from here on nobody may read either.
      'DROP INDEX deliveries_due',
    ])
      await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const statement of [
      'CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL',
      'DROP INDEX deliveries_unsettled',
      'DROP INDEX deliveries_untried',
    ])
      await runner.query(statement);
  }
}
