import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When the workflow that tells an account was last woken because what it was to tell was late. */
export class WokenNotifications1700000000022 implements MigrationInterface {
  readonly name = 'WokenNotifications1700000000022';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE notifications ADD COLUMN woken_at timestamptz');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE notifications DROP COLUMN woken_at');
  }
}
