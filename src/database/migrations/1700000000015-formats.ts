import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What shape an endpoint receives events in, and what is only a test. */
export class Formats1700000000015 implements MigrationInterface {
  readonly name = 'Formats1700000000015';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER accounts_mode_changed ON accounts');
    await runner.query('DROP FUNCTION posthorn_renumber_filters()');
    await runner.query('DROP TRIGGER endpoints_filter_changed ON endpoints');
    await runner.query(FILTER_CHANGED(''));
    await runner.query('DROP TABLE used_fetch_tokens');
    await runner.query('ALTER TABLE deliveries DROP COLUMN test');
    await runner.query('ALTER TABLE events DROP COLUMN test');
    await runner.query('ALTER TABLE endpoints DROP COLUMN test, DROP COLUMN format, DROP COLUMN payload');
    await runner.query('ALTER TABLE accounts DROP COLUMN mode');
  }
}

/** @param column that changes what a filter is asked, beside those that did before; empty for none */
const FILTER_CHANGED = (column: '' | 'test'): string => `
  CREATE TRIGGER endpoints_filter_changed BEFORE UPDATE OF filter, event_types, deleted_at${column && `, ${column}`} ON endpoints
    FOR EACH ROW WHEN ((NEW.filter IS NOT NULL OR OLD.filter_slot IS NOT NULL) AND (
      NEW.filter::text IS DISTINCT FROM OLD.filter::text OR NEW.event_types IS DISTINCT FROM OLD.event_types
      OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at${column && ` OR NEW.${column} <> OLD.${column}`}))
    EXECUTE FUNCTION posthorn_number_filter()`;

const STATEMENTS = [
  `ALTER TABLE accounts ADD COLUMN mode text NOT NULL DEFAULT 'live'`,
  `ALTER TABLE endpoints
     ADD COLUMN payload text NOT NULL DEFAULT 'full',
     ADD COLUMN format text NOT NULL DEFAULT 'posthorn',
     ADD COLUMN test boolean NOT NULL DEFAULT false`,
  // Which filters an event meets depends on what is a test.
  'DROP TRIGGER endpoints_filter_changed ON endpoints',
  FILTER_CHANGED('test'),
  `CREATE FUNCTION posthorn_renumber_filters() RETURNS trigger LANGUAGE plpgsql AS $fn$
   BEGIN
     NEW.filters_version := OLD.filters_version + 1;
     RETURN NEW;
   END $fn$`,
  `CREATE TRIGGER accounts_mode_changed BEFORE UPDATE OF mode ON accounts
     FOR EACH ROW WHEN (NEW.mode <> OLD.mode AND NEW.filter_slots > 0) EXECUTE FUNCTION posthorn_renumber_filters()`,

  'ALTER TABLE events ADD COLUMN test boolean NOT NULL DEFAULT false',
  'ALTER TABLE deliveries ADD COLUMN test boolean NOT NULL DEFAULT false',

  // A token that was never used has no row. issued_at is part of what the token says: unix milliseconds.
  `CREATE TABLE used_fetch_tokens (
     delivery_id uuid NOT NULL,
     issued_at bigint NOT NULL,
     used_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (delivery_id, issued_at)
   )`,
];
