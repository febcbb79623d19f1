import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whose a fan-out is: accounts take turns with theirs. */
export class FanoutsInTurns1700000000021 implements MigrationInterface {
  readonly name = 'FanoutsInTurns1700000000021';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of UP) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE fanouts DROP COLUMN account_id');
  }
}

const UP = [
  // Processes of the version before, which go on meanwhile, know nothing of it: theirs take a turn together.
  `ALTER TABLE fanouts ADD COLUMN account_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000001'`,
  'CREATE INDEX fanouts_by_account ON fanouts (account_id, event_id)',
];
