import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How events of one version become events of another. */
export class Conversions1700000000016 implements MigrationInterface {
  readonly name = 'Conversions1700000000016';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX deliveries_unconverted');
    await runner.query('DROP TABLE event_type_conversions');
  }
}

const STATEMENTS = [
  // id: of what it does, another one with each change of that, so that whoever has read one may keep it. source: code, or the
  // spec as JSON. tests: a list of {data, expected} as JSON. warned_at: when the operator was last told that it fails.
  `CREATE TABLE event_type_conversions (
     type text NOT NULL,
     from_version text NOT NULL,
     to_version text NOT NULL,
     id uuid NOT NULL UNIQUE,
     kind text NOT NULL,
     source text NOT NULL,
     tests text NOT NULL,
     warned_at timestamptz,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (type, from_version, to_version),
     FOREIGN KEY (type, from_version) REFERENCES event_type_versions ON DELETE CASCADE,
     FOREIGN KEY (type, to_version) REFERENCES event_type_versions ON DELETE CASCADE
   )`,
  `CREATE INDEX event_type_conversions_by_target ON event_type_conversions (type, to_version)`,
  // To tell the operator of one changes nothing that processes have read.
  `CREATE TRIGGER event_type_conversions_revise AFTER INSERT OR UPDATE OF id OR DELETE OR TRUNCATE ON event_type_conversions
     FOR EACH STATEMENT EXECUTE FUNCTION posthorn_revise_catalogue()`,

  // What is tried at once when a conversion is mended: next to nothing, and no other delivery is in it.
  `CREATE INDEX deliveries_unconverted ON deliveries (event_type, id) WHERE status_reason = 'conversion_error'`,
];
