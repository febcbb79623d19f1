import type { MigrationInterface, QueryRunner } from 'typeorm';

/** While Temporal is away, what was put by and needs no workflow is found among all that does. */
export class ExpressOverflow1700000000027 implements MigrationInterface {
  readonly name = 'ExpressOverflow1700000000027';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX deliveries_express_overflow ON deliveries (endpoint_id, id)
         WHERE status = 'pending' AND due_at IS NULL AND express`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX deliveries_express_overflow');
  }
}
