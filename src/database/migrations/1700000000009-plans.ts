import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Plans, what accounts have used of theirs, and which warnings they were given. */
export class Plans1700000000009 implements MigrationInterface {
  readonly name = 'Plans1700000000009';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
    for (const [name, limits] of Object.entries(SHIPPED))
      await runner.query('INSERT INTO plans (name, limits) VALUES ($1, $2)', [name, JSON.stringify(limits)]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limit_warnings, publish_allowances, plans');
    await runner.query('DROP INDEX accounts_by_plan');
  }
}

const STATEMENTS = [
  // limits: as the API shows them; what is absent or null does not limit.
  `CREATE TABLE plans (
     name text PRIMARY KEY,
     limits json NOT NULL,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE INDEX accounts_by_plan ON accounts (plan) WHERE plan IS NOT NULL`,

  // debt: events handed out to processes that the rate has not paid for yet, as of counted_at. used: those of the day, in
  // UTC.
  `CREATE TABLE publish_allowances (
     account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
     debt float8 NOT NULL DEFAULT 0,
     counted_at timestamptz NOT NULL DEFAULT now(),
     day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
     used bigint NOT NULL DEFAULT 0
   ) WITH (fillfactor = 50)`,

  // One for each limit, account and day in UTC.
  `CREATE TABLE limit_warnings (
     account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
     limit_name text NOT NULL,
     day date NOT NULL,
     PRIMARY KEY (account_id, limit_name, day)
   )`,
];

const SHIPPED = {
  free: {
    endpoints: 5,
    publishPerSecond: 10,
    publishBurst: 100,
    eventsPerDay: 10_000,
    payloadBytes: 65_536,
    attempts: 6,
    retrySeconds: 86_400,
    retryDelayUnderLoadSeconds: 60,
    maxInFlight: 8,
    priorityCeiling: 'normal',
    lanes: ['durable', 'auto'],
  },
  standard: {
    endpoints: 50,
    publishPerSecond: 100,
    publishBurst: 1_000,
    eventsPerDay: 1_000_000,
    payloadBytes: 262_144,
    attempts: 12,
    retrySeconds: 345_600,
    retryDelayUnderLoadSeconds: 10,
    maxInFlight: 64,
    priorityCeiling: 'high',
  },
  enterprise: {},
};
