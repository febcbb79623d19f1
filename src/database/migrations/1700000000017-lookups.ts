import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What events are enriched by before they go to an endpoint. */
export class Lookups1700000000017 implements MigrationInterface {
  readonly name = 'Lookups1700000000017';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX endpoints_by_lookup');
    await runner.query('ALTER TABLE endpoints DROP COLUMN lookups');
    await runner.query('DROP TABLE lookups');
  }
}

const STATEMENTS = [
  // version: another one with each change, so that whoever has read one may keep what it was answered.
  // failed_at, failure: the latest failure. warned_at: when the operator was last told of one.
  `CREATE TABLE lookups (
     name text PRIMARY KEY,
     version uuid NOT NULL,
     description text,
     url text NOT NULL,
     sealed_auth bytea,
     timeout_ms integer NOT NULL,
     cache_ttl_seconds integer NOT NULL,
     required boolean NOT NULL,
     self_service boolean NOT NULL,
     failed_at timestamptz,
     failure text,
     warned_at timestamptz,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
  // Names, in the order in which they stand in the context; null where there are none.
  'ALTER TABLE endpoints ADD COLUMN lookups text[]',
  // Who asks for a lookup is looked for when it is to be deleted.
  'CREATE INDEX endpoints_by_lookup ON endpoints USING gin (lookups) WHERE deleted_at IS NULL AND lookups IS NOT NULL',
];
