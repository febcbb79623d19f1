import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What open deliveries of an endpoint have still to follow: there may be more of them than one transaction can change. */
export class BacklogChanges1700000000020 implements MigrationInterface {
  readonly name = 'BacklogChanges1700000000020';

  async up(runner: QueryRunner): Promise<void> {
    // kinds: what has changed. Those of a status come in the order of their ids: status and after are how far it has got.
    await runner.query(
      `CREATE TABLE backlog_changes (
         endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
         kinds text[] NOT NULL,
         status text NOT NULL DEFAULT 'pending',
         after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
       )`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE backlog_changes');
  }
}
