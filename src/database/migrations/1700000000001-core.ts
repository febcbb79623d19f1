import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The core resources. Tables that grow with traffic are partitioned by week on their UUIDv7 keys. */
export class Core1700000000001 implements MigrationInterface {
  readonly name = 'Core1700000000001';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE attempts, deliveries, event_external_ids, events, endpoint_secrets, endpoints, api_keys, audit_log,
         idempotency_keys, accounts`,
    );
    await runner.query('DROP FUNCTION posthorn_ensure_partitions(timestamptz, timestamptz)');
    await runner.query('DROP FUNCTION posthorn_uuid_v7()');
  }
}

const STATEMENTS = [
  // PostgreSQL has its own uuidv7() from 18 on; before that, the time goes over the first 48 bits of a random UUID.
  `DO $do$ BEGIN
     IF current_setting('server_version_num')::int >= 180000 THEN
       CREATE FUNCTION posthorn_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT uuidv7()';
     ELSE
       CREATE FUNCTION posthorn_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $fn$
         SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
           PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
           52, 1), 53, 1), 'hex')::uuid
       $fn$;
     END IF;
   END $do$`,

  `CREATE TABLE accounts (
     id uuid PRIMARY KEY,
     name text NOT NULL,
     plan text,
     metadata json NOT NULL DEFAULT '{}',
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,

  `CREATE TABLE api_keys (
     id uuid PRIMARY KEY,
     account_id uuid REFERENCES accounts ON DELETE CASCADE,
     name text NOT NULL,
     hash bytea NOT NULL UNIQUE,
     hint text NOT NULL,
     scopes text[] NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     expires_at timestamptz,
     revoked_at timestamptz,
     last_used_at timestamptz
   )`,
  `CREATE INDEX api_keys_by_account ON api_keys (account_id, id)`,

  `CREATE TABLE endpoints (
     id uuid PRIMARY KEY,
     account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
     url text NOT NULL,
     description text,
     event_types text[],
     sealed_headers bytea,
     timeout_ms integer NOT NULL,
     retry_schedule json NOT NULL,
     paused boolean NOT NULL DEFAULT false,
     disabled_reason text,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now(),
     deleted_at timestamptz
   )`,
  `CREATE INDEX endpoints_by_account ON endpoints (account_id, id) WHERE deleted_at IS NULL`,

  `CREATE TABLE endpoint_secrets (
     id uuid PRIMARY KEY,
     endpoint_id uuid NOT NULL REFERENCES endpoints ON DELETE CASCADE,
     sealed bytea NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     expires_at timestamptz
   )`,
  `CREATE INDEX endpoint_secrets_by_endpoint ON endpoint_secrets (endpoint_id, id)`,

  // data is text: jsonb cannot hold \\u0000, reorders keys and rounds numbers, and what is signed is these bytes.
  `CREATE TABLE events (
     id uuid PRIMARY KEY,
     account_id uuid NOT NULL,
     external_id text,
     type text NOT NULL,
     occurred_at timestamptz NOT NULL,
     version text NOT NULL,
     tags text[] NOT NULL,
     priority text,
     data text NOT NULL,
     matched integer NOT NULL
   ) PARTITION BY RANGE (id)`,
  `CREATE INDEX events_by_account ON events (account_id, id)`,

  `CREATE TABLE event_external_ids (
     account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
     external_id text NOT NULL,
     event_id uuid NOT NULL,
     PRIMARY KEY (account_id, external_id)
   )`,

  // due_at is when a process should see to the delivery unless its workflow has by then; null when nothing is owed.
  // tell is what the workflow, if it runs, must still be told.
  // budget_start is how many attempts belong to earlier rounds, before the latest retry by hand.
  `CREATE TABLE deliveries (
     id uuid PRIMARY KEY,
     account_id uuid NOT NULL,
     event_id uuid NOT NULL,
     endpoint_id uuid NOT NULL,
     event_type text NOT NULL,
     status text NOT NULL,
     status_reason text,
     attempt_count integer NOT NULL DEFAULT 0,
     budget_start integer NOT NULL DEFAULT 0,
     next_trigger text NOT NULL DEFAULT 'schedule',
     next_attempt_at timestamptz,
     due_at timestamptz,
     tell text,
     created_at timestamptz NOT NULL DEFAULT now(),
     completed_at timestamptz
   ) PARTITION BY RANGE (id)`,
  `CREATE INDEX deliveries_by_event ON deliveries (event_id)`,
  `CREATE INDEX deliveries_by_account ON deliveries (account_id, id)`,
  `CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, id)`,
  `CREATE INDEX deliveries_undelivered ON deliveries (account_id, status, id) WHERE status <> 'delivered'`,
  `CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL`,

  `CREATE TABLE attempts (
     delivery_id uuid NOT NULL,
     number integer NOT NULL,
     trigger text NOT NULL,
     started_at timestamptz NOT NULL,
     duration_ms integer NOT NULL,
     outcome text NOT NULL,
     status_code integer,
     error_code text,
     error_detail text,
     request json,
     response json,
     PRIMARY KEY (delivery_id, number)
   ) PARTITION BY RANGE (delivery_id)`,

  `CREATE TABLE audit_log (
     id uuid PRIMARY KEY,
     at timestamptz NOT NULL DEFAULT now(),
     key_id text NOT NULL,
     account_id uuid,
     action text NOT NULL,
     resource_id text NOT NULL,
     request_id text NOT NULL
   )`,

  `CREATE TABLE idempotency_keys (
     owner text NOT NULL,
     key text NOT NULL,
     fingerprint bytea NOT NULL,
     locked_until timestamptz NOT NULL,
     sealed_answer bytea,
     created_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (owner, key)
   )`,
  `CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)`,

  // Weeks begin on Monday, UTC. A row outside every week goes to the default partition: never lost, only slower.
  `CREATE FUNCTION posthorn_ensure_partitions(since timestamptz, until timestamptz) RETURNS void LANGUAGE plpgsql AS $fn$
   DECLARE
     week timestamptz := date_trunc('week', since, 'UTC');
     parent text;
     lower_key uuid;
     upper_key uuid;
   BEGIN
     PERFORM pg_advisory_xact_lock(7067846272);
     WHILE week < until LOOP
       lower_key := (lpad(to_hex((extract(epoch FROM week) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
       upper_key := (lpad(to_hex((extract(epoch FROM week + interval '7 days') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
       FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
         IF to_regclass(format('%I', parent || to_char(week AT TIME ZONE 'UTC', '_YYYYMMDD'))) IS NULL THEN
           EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
             parent || to_char(week AT TIME ZONE 'UTC', '_YYYYMMDD'), parent, lower_key, upper_key);
         END IF;
       END LOOP;
       week := week + interval '7 days';
     END LOOP;
   END $fn$`,
  `CREATE TABLE events_default PARTITION OF events DEFAULT`,
  `CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT`,
  `CREATE TABLE attempts_default PARTITION OF attempts DEFAULT`,
  `SELECT posthorn_ensure_partitions(now() - interval '7 days', now() + interval '28 days')`,
];
