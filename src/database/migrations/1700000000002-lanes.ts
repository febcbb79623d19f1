import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Lanes, priorities, pacing, and the leases that keep two processes from making one first attempt. */
export class Lanes1700000000002 implements MigrationInterface {
  readonly name = 'Lanes1700000000002';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fanouts, endpoint_pace, event_types, leases');
    await runner.query(
      'ALTER TABLE deliveries DROP COLUMN priority, DROP COLUMN express, DROP COLUMN lease, DROP COLUMN paced',
    );
    await runner.query(
      `ALTER TABLE endpoints DROP COLUMN lane, DROP COLUMN priority, DROP COLUMN rate_per_second,
         DROP COLUMN rate_burst, DROP COLUMN max_in_flight`,
    );
  }
}

const STATEMENTS = [
  // A null lane is the deployment's, a null priority the event type's, a null rate unlimited.
  `ALTER TABLE endpoints
     ADD COLUMN lane text,
     ADD COLUMN priority smallint,
     ADD COLUMN rate_per_second double precision,
     ADD COLUMN rate_burst integer,
     ADD COLUMN max_in_flight integer`,

  // express: no workflow was ever started for it, so a first attempt without one is the only one.
  // lease: the process that has it in hand; another takes it once that lease has ended.
  // paced: its next attempt waits for its endpoint's pace, and not for its own backoff.
  `ALTER TABLE deliveries
     ADD COLUMN priority smallint NOT NULL DEFAULT 3,
     ADD COLUMN express boolean NOT NULL DEFAULT false,
     ADD COLUMN lease bigint,
     ADD COLUMN paced boolean NOT NULL DEFAULT false`,

  // One row for each living process. Renewed every few seconds; what an ended one held is anybody's.
  `CREATE TABLE leases (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     expires_at timestamptz NOT NULL
   )`,

  `CREATE TABLE event_types (
     name text PRIMARY KEY,
     priority smallint,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,

  // free_at is the theoretical arrival time of the generic cell rate algorithm; not_before is what Retry-After asked for.
  // Updated for every attempt of a limited endpoint: room in the page keeps that off the index.
  `CREATE TABLE endpoint_pace (
     endpoint_id uuid PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
     free_at timestamptz,
     not_before timestamptz
   ) WITH (fillfactor = 50)`,

  // An event for more endpoints than one commit should hold: matched page by page, in order of their ids.
  `CREATE TABLE fanouts (
     event_id uuid PRIMARY KEY,
     after uuid NOT NULL,
     until uuid NOT NULL
   )`,
];
