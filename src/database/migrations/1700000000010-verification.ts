import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whether an endpoint's receiver wants its deliveries at all. */
export class Verification1700000000010 implements MigrationInterface {
  readonly name = 'Verification1700000000010';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE endpoint_verifications');
    await runner.query('ALTER TABLE endpoints DROP COLUMN held_reason');
    await runner.query(
      'ALTER TABLE endpoints DROP COLUMN certificate_warned_days, DROP COLUMN verification_error, DROP COLUMN unverified, DROP COLUMN verification',
    );
    await runner.query(
      `ALTER TABLE endpoints ADD COLUMN held_reason text GENERATED ALWAYS AS (
         CASE WHEN paused THEN 'endpoint_paused' WHEN circuit_open THEN 'circuit_open' END) STORED`,
    );
  }
}

const STATEMENTS = [
  // verification_error: why the latest try failed. certificate_warned_days: the latest warning told of its certificates.
  `ALTER TABLE endpoints
     ADD COLUMN verification text NOT NULL DEFAULT 'none',
     ADD COLUMN unverified boolean NOT NULL DEFAULT false,
     ADD COLUMN verification_error text,
     ADD COLUMN certificate_warned_days integer`,
  'ALTER TABLE endpoints DROP COLUMN held_reason',
  `ALTER TABLE endpoints
     ADD COLUMN held_reason text GENERATED ALWAYS AS (
       CASE WHEN paused THEN 'endpoint_paused' WHEN unverified THEN 'endpoint_unverified'
         WHEN circuit_open THEN 'circuit_open' END) STORED`,

  // review_at is when the endpoint-verification workflow is to try next; null when it need not.
  `CREATE TABLE endpoint_verifications (
     endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
     started_at timestamptz NOT NULL DEFAULT now(),
     attempts integer NOT NULL DEFAULT 0,
     last_attempt_at timestamptz,
     error_detail text,
     verified_at timestamptz,
     review_at timestamptz
   )`,
  `CREATE INDEX endpoint_verifications_review ON endpoint_verifications (review_at) WHERE review_at IS NOT NULL`,
];
