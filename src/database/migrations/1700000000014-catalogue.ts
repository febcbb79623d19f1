import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the versions of event types look like, how long they last, who wants which, and how much they are used. */
export class Catalogue1700000000014 implements MigrationInterface {
  readonly name = 'Catalogue1700000000014';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE event_type_usage, event_type_sunset_warnings, event_type_versions');
    await runner.query('DROP TRIGGER event_types_revise ON event_types');
    await runner.query('DROP FUNCTION posthorn_revise_catalogue()');
    await runner.query('DROP TABLE event_catalogue');
    await runner.query('ALTER TABLE endpoints DROP COLUMN event_versions');
    await runner.query('ALTER TABLE event_types DROP COLUMN group_name, DROP COLUMN description');
  }
}

const STATEMENTS = [
  `ALTER TABLE event_types ADD COLUMN description text, ADD COLUMN group_name text`,

  // position: a greater one is newer. schema and examples: JSON as text, which unlike json may hold whatever JSON can.
  // schema_digest: SHA-256 of the schema in hexadecimal.
  `CREATE TABLE event_type_versions (
     type text NOT NULL REFERENCES event_types (name) ON DELETE CASCADE,
     version text NOT NULL,
     position integer NOT NULL,
     schema text,
     schema_digest text,
     examples text NOT NULL,
     deprecated_at timestamptz,
     sunset_at timestamptz,
     after_sunset text NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (type, version)
   )`,
  `CREATE INDEX event_type_versions_by_sunset ON event_type_versions (sunset_at) WHERE sunset_at IS NOT NULL`,

  // One row, by which each process learns that it has to read again.
  `CREATE TABLE event_catalogue (revision bigint NOT NULL)`,
  `INSERT INTO event_catalogue VALUES (1)`,
  `CREATE FUNCTION posthorn_revise_catalogue() RETURNS trigger LANGUAGE plpgsql AS $fn$
   BEGIN
     UPDATE event_catalogue SET revision = revision + 1;
     RETURN NULL;
   END $fn$`,
  ...['event_types', 'event_type_versions'].map(
    (table) => `CREATE TRIGGER ${table}_revise AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${table}
     FOR EACH STATEMENT EXECUTE FUNCTION posthorn_revise_catalogue()`,
  ),

  // The version of each type that the endpoint wants; null where it wants all as they are published.
  `ALTER TABLE endpoints ADD COLUMN event_versions jsonb`,
  `CREATE INDEX endpoints_by_event_version ON endpoints USING gin (event_versions)
     WHERE deleted_at IS NULL AND event_versions IS NOT NULL`,

  // days: the latest warning that was told.
  `CREATE TABLE event_type_sunset_warnings (
     endpoint_id uuid NOT NULL REFERENCES endpoints ON DELETE CASCADE,
     type text NOT NULL,
     version text NOT NULL,
     days integer NOT NULL,
     PRIMARY KEY (endpoint_id, type, version),
     FOREIGN KEY (type, version) REFERENCES event_type_versions ON DELETE CASCADE
   )`,
  `CREATE INDEX event_type_sunset_warnings_by_version ON event_type_sunset_warnings (type, version)`,

  // events by the version they were published in, deliveries by the one that is pinned. An empty version: none of those
  // that are registered.
  `CREATE TABLE event_type_usage (
     type text NOT NULL,
     hour timestamptz NOT NULL,
     version text NOT NULL,
     events bigint NOT NULL,
     deliveries bigint NOT NULL,
     PRIMARY KEY (type, hour, version)
   )`,
];
