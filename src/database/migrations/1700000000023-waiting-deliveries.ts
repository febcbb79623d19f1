import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What is open of an endpoint once it has been tried: there may be very much, and more of others of its account. A delivery that
 * succeeds at once is never in it.
 */
export class WaitingDeliveries1700000000023 implements MigrationInterface {
  readonly name = 'WaitingDeliveries1700000000023';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX deliveries_waiting ON deliveries (endpoint_id, status, id) WHERE status IN ('retrying', 'held')`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX deliveries_waiting');
  }
}
