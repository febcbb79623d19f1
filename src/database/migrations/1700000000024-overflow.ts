import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Deliveries that no process has room for leave the index of what is due, which everybody looks through, for one of their own. */
export class Overflow1700000000024 implements MigrationInterface {
  readonly name = 'Overflow1700000000024';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX deliveries_overflow ON deliveries (endpoint_id, id) WHERE status = 'pending' AND due_at IS NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`UPDATE deliveries SET due_at = now() WHERE status = 'pending' AND due_at IS NULL`);
    await runner.query('DROP INDEX deliveries_overflow');
  }
}
