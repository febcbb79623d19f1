import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is done to events before they go to an endpoint. */
export class Transformations1700000000013 implements MigrationInterface {
  readonly name = 'Transformations1700000000013';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE transformations, transformation_versions');
    await runner.query(
      'ALTER TABLE endpoints DROP COLUMN transformation_id, DROP COLUMN transform_warned_at',
    );
  }
}

const STATEMENTS = [
  // transformation_id: the version in force, null where there is none or it is not enabled: all that a delivery is asked.
  // transform_warned_at: when its owner was last told that it fails.
  `ALTER TABLE endpoints
     ADD COLUMN transformation_id uuid,
     ADD COLUMN transform_warned_at timestamptz`,

  // A version is never changed, so that whoever has read one may keep it. source: code, or the spec as JSON.
  `CREATE TABLE transformation_versions (
     id uuid PRIMARY KEY,
     endpoint_id uuid NOT NULL REFERENCES endpoints ON DELETE CASCADE,
     version integer NOT NULL,
     kind text NOT NULL,
     source text NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     UNIQUE (endpoint_id, version)
   )`,
  `CREATE TABLE transformations (
     endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
     version_id uuid NOT NULL REFERENCES transformation_versions ON DELETE CASCADE,
     enabled boolean NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
];
