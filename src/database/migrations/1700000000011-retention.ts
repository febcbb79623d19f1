import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Weeks of which nothing is left go. */
export class Retention1700000000011 implements MigrationInterface {
  readonly name = 'Retention1700000000011';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(DROP_EMPTY_PARTITIONS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION posthorn_drop_empty_partitions');
  }
}

// A table can only be dropped when nobody reads or writes any other week: where that takes too long, it is left for the
// next time.
export const DROP_EMPTY_PARTITIONS = `
  CREATE FUNCTION posthorn_drop_empty_partitions() RETURNS void LANGUAGE plpgsql SET lock_timeout = '200ms' AS $fn$
  DECLARE
    week regclass;
    is_empty boolean;
  BEGIN
    PERFORM pg_advisory_xact_lock(7067846272);
    FOR week IN
      SELECT c.oid FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
      WHERE i.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
        AND c.relname ~ '_\\d{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < now() - interval '21 days'
    LOOP
      EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', week) INTO is_empty;
      CONTINUE WHEN NOT is_empty;
      BEGIN
        EXECUTE format('DROP TABLE %s', week);
      EXCEPTION WHEN lock_not_available THEN
        RETURN;
      END;
    END LOOP;
  END $fn$`;
