import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What endpoints show their receivers, beside the signature. */
export class Credentials1700000000006 implements MigrationInterface {
  readonly name = 'Credentials1700000000006';

  async up(runner: QueryRunner): Promise<void> {
    // Null: none. Without encryption, beside it, what is to be looked for: when its certificates end.
    await runner.query(
      'ALTER TABLE endpoints ADD COLUMN sealed_auth bytea, ADD COLUMN certificate_expires_at timestamptz',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE endpoints DROP COLUMN sealed_auth, DROP COLUMN certificate_expires_at');
  }
}
