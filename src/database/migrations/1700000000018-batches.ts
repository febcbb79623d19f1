import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Deliveries that carry others. */
export class Batches1700000000018 implements MigrationInterface {
  readonly name = 'Batches1700000000018';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER endpoints_collected_ended ON endpoints');
    await runner.query('DROP TRIGGER deliveries_batch_changed ON deliveries');
    await runner.query('DROP FUNCTION posthorn_end_collected(), posthorn_follow_batch()');
    await runner.query('DROP TABLE batch_arrivals, batch_windows, batches');
    await runner.query('ALTER TABLE deliveries DROP COLUMN batch_id');
    await runner.query('ALTER TABLE endpoints DROP COLUMN batch');
  }
}

const STATEMENTS = [
  // maxEvents, maxWaitSeconds, maxBytes; null: each event in a request of its own.
  'ALTER TABLE endpoints ADD COLUMN batch json',

  // A batch is a delivery whose event_id is its own id. What it carries are deliveries in the status 'batched' with its id as
  // their batch_id; null while they are collected.
  'ALTER TABLE deliveries ADD COLUMN batch_id uuid',
  `CREATE INDEX deliveries_collected ON deliveries (endpoint_id, event_id) WHERE status = 'batched' AND batch_id IS NULL`,
  `CREATE INDEX deliveries_by_batch ON deliveries (batch_id, id) WHERE batch_id IS NOT NULL`,

  // message_id: what its requests are known by, anew whenever receivers have taken a part of what it carried.
  `CREATE TABLE batches (
     id uuid PRIMARY KEY,
     account_id uuid NOT NULL,
     message_id uuid NOT NULL,
     events integer NOT NULL
   )`,
  'CREATE INDEX batches_by_account ON batches (account_id, id)',

  // What was committed for endpoints that collect, and that no window has counted yet: written by each publish without
  // waiting for anybody.
  `CREATE TABLE batch_arrivals (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     endpoint_id uuid NOT NULL,
     at timestamptz NOT NULL DEFAULT now(),
     items integer NOT NULL,
     bytes bigint NOT NULL
   )`,

  // One for each endpoint for which something is collected. items and bytes: that many at least, or what is collected has
  // gone meanwhile; the limits are those of the moment when it was opened.
  `CREATE TABLE batch_windows (
     endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
     id uuid NOT NULL,
     closes_at timestamptz NOT NULL,
     items integer NOT NULL,
     bytes bigint NOT NULL,
     max_events integer NOT NULL,
     max_wait_seconds integer NOT NULL,
     max_bytes bigint NOT NULL,
     is_full boolean GENERATED ALWAYS AS (items >= max_events OR bytes >= max_bytes) STORED
   ) WITH (fillfactor = 50)`,
  'CREATE INDEX batch_windows_closing ON batch_windows (closes_at)',

  // Here, and not where batches end or are sent again: whoever does it, what they carry follows in the same commit. What was
  // delivered of it stays so, and the rest is then another message: receivers drop what they know by its id.
  `CREATE FUNCTION posthorn_follow_batch() RETURNS trigger LANGUAGE plpgsql AS $fn$
   BEGIN
     IF NEW.status IN ('delivered', 'failed', 'cancelled', 'skipped') THEN
       UPDATE deliveries SET status = NEW.status, status_reason = NEW.status_reason, completed_at = NEW.completed_at
         WHERE batch_id = NEW.id AND (status = 'batched' OR (OLD.status = 'skipped' AND status = 'skipped'
           AND status_reason IS NOT DISTINCT FROM OLD.status_reason));
     ELSIF OLD.status IN ('delivered', 'failed', 'cancelled', 'skipped') THEN
       UPDATE deliveries SET status = 'batched', status_reason = NULL, completed_at = NULL
         WHERE batch_id = NEW.id AND status IN ('failed', 'cancelled', 'skipped');
       IF NOT FOUND THEN
         UPDATE deliveries SET status = 'batched', status_reason = NULL, completed_at = NULL
           WHERE batch_id = NEW.id AND status = 'delivered';
       ELSIF EXISTS (SELECT FROM deliveries WHERE batch_id = NEW.id AND status = 'delivered') THEN
         UPDATE batches SET message_id = posthorn_uuid_v7() WHERE id = NEW.id;
       END IF;
     END IF;
     RETURN NULL;
   END $fn$`,
  `CREATE TRIGGER deliveries_batch_changed AFTER UPDATE OF status ON deliveries
     FOR EACH ROW WHEN (NEW.id = NEW.event_id AND NEW.status <> OLD.status) EXECUTE FUNCTION posthorn_follow_batch()`,

  // The same for what is in no batch yet.
  `CREATE FUNCTION posthorn_end_collected() RETURNS trigger LANGUAGE plpgsql AS $fn$
   DECLARE
     is_deleted boolean := NEW.deleted_at IS NOT NULL;
   BEGIN
     UPDATE deliveries SET status = CASE WHEN is_deleted THEN 'cancelled' ELSE 'skipped' END, completed_at = now(),
         status_reason = CASE WHEN is_deleted THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END
       WHERE endpoint_id = NEW.id AND status = 'batched' AND batch_id IS NULL;
     RETURN NULL;
   END $fn$`,
  `CREATE TRIGGER endpoints_collected_ended AFTER UPDATE OF deleted_at, disabled_reason ON endpoints
     FOR EACH ROW WHEN ((OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
       OR (OLD.disabled_reason IS NULL AND NEW.disabled_reason IS NOT NULL))
     EXECUTE FUNCTION posthorn_end_collected()`,
];
