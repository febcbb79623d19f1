import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When the owner of an endpoint was last told that its filter fails. */
export class FilterWarnings1700000000019 implements MigrationInterface {
  readonly name = 'FilterWarnings1700000000019';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE endpoints ADD COLUMN filter_warned_at timestamptz');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE endpoints DROP COLUMN filter_warned_at');
  }
}
