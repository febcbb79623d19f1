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
  'ALTER TABLE fanouts ADD COLUMN account_id uuid',
  'UPDATE fanouts f SET account_id = v.account_id FROM events v WHERE v.id = f.event_id',
  'ALTER TABLE fanouts ALTER COLUMN account_id SET NOT NULL',
  'CREATE INDEX fanouts_by_account ON fanouts (account_id, event_id)',
];
