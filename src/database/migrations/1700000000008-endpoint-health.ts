import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The health of endpoints, the figures behind it, and what their owners were told. */
export class EndpointHealth1700000000008 implements MigrationInterface {
  readonly name = 'EndpointHealth1700000000008';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE notifications, endpoint_stats, endpoint_health');
    await runner.query('ALTER TABLE deliveries DROP COLUMN probe');
    await runner.query('ALTER TABLE endpoints DROP COLUMN held_reason, DROP COLUMN circuit_open');
    await runner.query('ALTER TABLE accounts DROP COLUMN notification_emails');
  }
}

const STATEMENTS = [
  // held_reason: why deliveries to it wait, whatever for; null when they go.
  `ALTER TABLE endpoints
     ADD COLUMN circuit_open boolean NOT NULL DEFAULT false`,
  `ALTER TABLE endpoints
     ADD COLUMN held_reason text GENERATED ALWAYS AS (
       CASE WHEN paused THEN 'endpoint_paused' WHEN circuit_open THEN 'circuit_open' END) STORED`,

  // probe: the one delivery that is tried while the circuit is open.
  `ALTER TABLE deliveries ADD COLUMN probe boolean NOT NULL DEFAULT false`,

  `ALTER TABLE accounts ADD COLUMN notification_emails text[] NOT NULL DEFAULT '{}'`,

  // Written from the first failure after a success on. failing_since is when that was; null while there is no trouble.
  // failed_deliveries are some of those that failed since: enough to know that it is not one delivery's fault.
  // announced is the trouble that its owner was told of and that has not ended; told_at when it was told of each.
  // review_at is when the endpoint-health workflow is to look at it again; null when it need not.
  `CREATE TABLE endpoint_health (
     endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
     state text NOT NULL DEFAULT 'healthy',
     state_since timestamptz NOT NULL DEFAULT now(),
     failing_since timestamptz,
     consecutive_failures integer NOT NULL DEFAULT 0,
     failed_deliveries uuid[] NOT NULL DEFAULT '{}',
     last_failure_at timestamptz,
     last_error text,
     exhausted integer NOT NULL DEFAULT 0,
     announced text,
     told_at json NOT NULL DEFAULT '{}',
     probed_at timestamptz,
     review_at timestamptz
   ) WITH (fillfactor = 50)`,
  `CREATE INDEX endpoint_health_review ON endpoint_health (review_at) WHERE review_at IS NOT NULL`,

  // durations: how many attempts took how long, see DurationHistogram.
  `CREATE TABLE endpoint_stats (
     endpoint_id uuid NOT NULL REFERENCES endpoints ON DELETE CASCADE,
     starts_at timestamptz NOT NULL,
     attempts integer NOT NULL,
     delivered integer NOT NULL,
     durations integer[] NOT NULL,
     PRIMARY KEY (endpoint_id, starts_at)
   ) WITH (fillfactor = 70)`,
  `CREATE INDEX endpoint_stats_by_time ON endpoint_stats (starts_at)`,

  // published_at and mailed_at are set before its event and its e-mail go out: neither goes out twice.
  `CREATE TABLE notifications (
     id uuid PRIMARY KEY,
     account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
     endpoint_id uuid,
     kind text NOT NULL,
     data json NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     pending boolean NOT NULL DEFAULT true,
     published_at timestamptz,
     mailed_at timestamptz
   )`,
  `CREATE INDEX notifications_by_account ON notifications (account_id, id)`,
  `CREATE INDEX notifications_pending ON notifications (account_id) WHERE pending`,
];
