import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Schemes to sign by, beside Standard Webhooks. */
export class Signing1700000000003 implements MigrationInterface {
  readonly name = 'Signing1700000000003';

  async up(runner: QueryRunner): Promise<void> {
    // Null: Standard Webhooks.
    await runner.query('ALTER TABLE endpoints ADD COLUMN signing json');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE endpoints DROP COLUMN signing');
  }
}
