import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a delivery's workflow is to be told once it is held no more. Nobody reads it before that, so nothing is to be filled in. */
export class ToldNext1700000000026 implements MigrationInterface {
  readonly name = 'ToldNext1700000000026';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE deliveries ADD COLUMN tell_next text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE deliveries DROP COLUMN tell_next');
  }
}
