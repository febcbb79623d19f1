import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Filters of endpoints, and the versions by which processes know whether theirs are the current ones. */
export class Filters1700000000012 implements MigrationInterface {
  readonly name = 'Filters1700000000012';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER endpoints_filter_changed ON endpoints');
    await runner.query('DROP TRIGGER endpoints_filter_made ON endpoints');
    await runner.query('DROP FUNCTION posthorn_number_filter()');
    await runner.query(
      'ALTER TABLE endpoints DROP COLUMN filter, DROP COLUMN filter_version, DROP COLUMN filter_slot',
    );
    await runner.query('ALTER TABLE fanouts DROP COLUMN takes, DROP COLUMN broken, DROP COLUMN slots');
    await runner.query('ALTER TABLE accounts DROP COLUMN filters_version, DROP COLUMN filter_slots');
  }
}

const STATEMENTS = [
  // filters_version: changes of filters so far. filter_slots: how many endpoints ever had one.
  `ALTER TABLE accounts
     ADD COLUMN filters_version integer NOT NULL DEFAULT 0,
     ADD COLUMN filter_slots integer NOT NULL DEFAULT 0`,

  // filter_version: the account's with the latest change of this one. filter_slot: the endpoint's place in the bits that say
  // which endpoints take an event; once given it stays.
  `ALTER TABLE endpoints
     ADD COLUMN filter json,
     ADD COLUMN filter_version integer,
     ADD COLUMN filter_slot integer`,
  `CREATE INDEX endpoints_by_filter_version ON endpoints (account_id, filter_version) WHERE filter_version IS NOT NULL`,

  // What the filters said when the event was published: see the columns of the same names in its statement.
  `ALTER TABLE fanouts
     ADD COLUMN takes bytea,
     ADD COLUMN broken bytea,
     ADD COLUMN slots integer NOT NULL DEFAULT 0`,

  // Here, and not where endpoints are changed: whatever changes one, no process goes on with what it knew.
  `CREATE FUNCTION posthorn_number_filter() RETURNS trigger LANGUAGE plpgsql AS $fn$
   DECLARE
     is_new integer := (NEW.filter_slot IS NULL)::integer;
   BEGIN
     UPDATE accounts SET filters_version = filters_version + 1, filter_slots = filter_slots + is_new
       WHERE id = NEW.account_id
       RETURNING filters_version, coalesce(NEW.filter_slot, filter_slots - 1) INTO NEW.filter_version, NEW.filter_slot;
     RETURN NEW;
   END $fn$`,
  `CREATE TRIGGER endpoints_filter_made BEFORE INSERT ON endpoints
     FOR EACH ROW WHEN (NEW.filter IS NOT NULL) EXECUTE FUNCTION posthorn_number_filter()`,
  `CREATE TRIGGER endpoints_filter_changed BEFORE UPDATE OF filter, event_types, deleted_at ON endpoints
     FOR EACH ROW WHEN ((NEW.filter IS NOT NULL OR OLD.filter_slot IS NOT NULL) AND (
       NEW.filter::text IS DISTINCT FROM OLD.filter::text OR NEW.event_types IS DISTINCT FROM OLD.event_types
       OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at))
     EXECUTE FUNCTION posthorn_number_filter()`,
];
