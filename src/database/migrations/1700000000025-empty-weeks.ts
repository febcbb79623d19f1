import type { MigrationInterface, QueryRunner } from 'typeorm';
import { DROP_EMPTY_PARTITIONS } from './1700000000011-retention.js';

/** A week is found empty once nobody can write to it any more, since what came between would go with it; one at a time, so that all are locked for a moment only. */
export class EmptyWeeks1700000000025 implements MigrationInterface {
  readonly name = 'EmptyWeeks1700000000025';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION posthorn_drop_empty_partitions');
    await runner.query(DROP_LOCKED_EMPTY_PARTITIONS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION posthorn_drop_empty_partitions');
    await runner.query(DROP_EMPTY_PARTITIONS);
  }
}

// A week is looked at without a lock, and again under it where that will not take long: of one that has just been emptied every
// page is read until vacuum has given them back. The table of all weeks is locked first, as whoever reads or writes does.
const DROP_LOCKED_EMPTY_PARTITIONS = `
  CREATE FUNCTION posthorn_drop_empty_partitions() RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '200ms' AS $fn$
  DECLARE
    week regclass;
    weeks regclass;
    is_empty boolean;
    since timestamptz;
  BEGIN
    PERFORM pg_advisory_xact_lock(7067846272);
    FOR week, weeks IN
      SELECT c.oid, i.inhparent FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
      WHERE i.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
        AND c.relname ~ '_\\d{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < now() - interval '21 days'
    LOOP
      since := clock_timestamp();
      EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', week) INTO is_empty;
      CONTINUE WHEN NOT is_empty OR clock_timestamp() - since > interval '50 ms';
      BEGIN
        EXECUTE format('LOCK TABLE ONLY %s', weeks);
        EXECUTE format('LOCK TABLE %s', week);
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', week) INTO is_empty;
        IF is_empty THEN
          EXECUTE format('DROP TABLE %s', week);
        END IF;
        RETURN true;
      EXCEPTION WHEN lock_not_available THEN
        RETURN false;
      END;
    END LOOP;
    RETURN false;
  END $fn$`;
