import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import {
  DataSource,
  type DataSourceOptions,
  type EntityTarget,
  type ObjectLiteral,
  QueryFailedError,
} from 'typeorm';
import { AccountEntity } from '../accounts/account.entity.js';
import { EndpointSecretEntity } from '../endpoints/endpoint-secret.entity.js';
import { EndpointEntity } from '../endpoints/endpoint.entity.js';
import { Line } from '../common/line.js';
import { Problem } from '../common/problems.js';
import { ApiKeyEntity } from '../keys/api-key.entity.js';
import { Core1700000000001 } from './migrations/1700000000001-core.js';
import { Lanes1700000000002 } from './migrations/1700000000002-lanes.js';
import { Signing1700000000003 } from './migrations/1700000000003-signing.js';
import { EndpointHealth1700000000008 } from './migrations/1700000000008-endpoint-health.js';
import { Audit1700000000004 } from './migrations/1700000000004-audit.js';
import { Credentials1700000000006 } from './migrations/1700000000006-credentials.js';
import { Retention1700000000011 } from './migrations/1700000000011-retention.js';
import { Verification1700000000010 } from './migrations/1700000000010-verification.js';
import { Transformations1700000000013 } from './migrations/1700000000013-transformations.js';
import { Access1700000000005 } from './migrations/1700000000005-access.js';
import { Filters1700000000012 } from './migrations/1700000000012-filters.js';
import { Plans1700000000009 } from './migrations/1700000000009-plans.js';
import { Formats1700000000015 } from './migrations/1700000000015-formats.js';
import { FilterWarnings1700000000019 } from './migrations/1700000000019-filter-warnings.js';
import { BacklogChanges1700000000020 } from './migrations/1700000000020-backlog-changes.js';
import { FanoutsInTurns1700000000021 } from './migrations/1700000000021-fanouts-in-turns.js';
import { WokenNotifications1700000000022 } from './migrations/1700000000022-woken-notifications.js';
import { WaitingDeliveries1700000000023 } from './migrations/1700000000023-waiting-deliveries.js';
import { Overflow1700000000024 } from './migrations/1700000000024-overflow.js';
import { EmptyWeeks1700000000025 } from './migrations/1700000000025-empty-weeks.js';
import { ToldNext1700000000026 } from './migrations/1700000000026-told-next.js';
import { ExpressOverflow1700000000027 } from './migrations/1700000000027-express-overflow.js';
import { UntriedDeliveries1700000000028 } from './migrations/1700000000028-untried-deliveries.js';
import { Batches1700000000018 } from './migrations/1700000000018-batches.js';
import { Catalogue1700000000014 } from './migrations/1700000000014-catalogue.js';
import { Conversions1700000000016 } from './migrations/1700000000016-conversions.js';
import { Lookups1700000000017 } from './migrations/1700000000017-lookups.js';

/** How long a caller waits for a connection before it is told that the database is unavailable. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Share of the pool that lists may take: they may read for as long as a statement may last. */
const FOR_LISTS = 0.25;
const LIST_WITHIN_MS = 5_000;
/** Connections that are kept open when nothing is to be done: one takes longer to open than what it is wanted for. */
const KEPT = 8;
const ANSWER_WITHIN_MS = 15_000;
/** Of {@link Database.ahead}: two are tried before a lease that one was to renew ends. */
const AHEAD_WITHIN_MS = 3_000;
const PATIENCE_MS = 600_000;
/** How long a migration waits for a lock, with everybody else behind it, where a dump or another long reader is before it. */
const LOCKED_WITHIN_MS = 1_000;
/** And how long everybody else then has, before it is tried once more. */
const LET_GO_ON_MS = 4_000;

/** A prepared statement that somebody waits for all the time. */
export interface HotStatement {
  name: string;
  text: string;
  /** Parameters with which it reads and writes nothing. */
  nothing: unknown[];
}

/**
 * PostgreSQL, reached two ways over one pool: TypeORM repositories for the nouns that people manage, and prepared
 * statements for what every delivery passes through.
 */
export class Database {
  readonly source: DataSource;
  private readonly lists: Line;
  private readonly reserved: pg.Pool;

  /** @param answerWithinMs how long an answer may take */
  constructor(
    readonly url: string,
    private readonly poolSize: number,
    answerWithinMs = ANSWER_WITHIN_MS,
  ) {
    this.lists = new Line(Math.max(1, Math.floor(poolSize * FOR_LISTS)));
    this.reserved = new pg.Pool({
      connectionString: url,
      application_name: 'posthorn reserved',
      max: 1,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: Math.min(answerWithinMs, AHEAD_WITHIN_MS),
    }).on('error', ignore);
    this.source = new DataSource({
      ...optionsFor(url),
      poolSize,
      extra: {
        keepAlive: true,
        min: Math.min(KEPT, poolSize),
        // A frozen server or a cut line never answers; whoever waits is told that the database is unavailable. A living one
        // gives up before, so that what takes too long is over by then, and was not done.
        query_timeout: answerWithinMs,
        // Planning a statement over partitions takes longer than running it. What is prepared is written so that one
        // plan is right for every value.
        options: `-c plan_cache_mode=force_generic_plan -c timezone=UTC -c statement_timeout=${Math.floor(0.9 * answerWithinMs)}`,
      },
    });
  }

  async open(): Promise<void> {
    await this.source.initialize();
  }

  /** Opens the connections that are kept, and plans on each what would else be planned when it is first wanted. */
  async warmUp(statements: HotStatement[]): Promise<void> {
    const clients = await Promise.allSettled(
      Array.from({ length: Math.min(KEPT, this.poolSize) }, () => this.connect()),
    );
    for (const client of clients) {
      if (client.status === 'rejected') continue;
      let failure: Error | undefined;
      try {
        for (const { name, text, nothing } of statements)
          await client.value.query({ name, text, values: nothing });
      } catch (error) {
        failure = error as Error;
      }
      client.value.release(failure);
    }
  }

  async close(): Promise<void> {
    await this.reserved.end();
    if (this.source.isInitialized) await this.source.destroy();
  }

  /** Brings the schema up to date, however long that takes; processes that start together take turns. */
  async migrate(): Promise<void> {
    const source = await new DataSource({
      ...optionsFor(this.url),
      poolSize: 2,
      extra: { options: `-c lock_timeout=${LOCKED_WITHIN_MS}` },
    }).initialize();
    try {
      const turn = source.createQueryRunner();
      // Ends with its connection.
      await onceLocked(() => turn.query('SELECT pg_advisory_lock(7067846271)'));
      await onceLocked(() => source.runMigrations());
    } finally {
      await source.destroy();
    }
  }

  /**
   * Runs one statement, prepared once per connection under `name`.
   *
   * @returns its rows
   */
  async prepared<Row extends pg.QueryResultRow>(
    name: string,
    text: string,
    values: unknown[],
  ): Promise<Row[]> {
    const result = await afterDeadlocks(() => this.heard(this.pool.query<Row>({ name, text, values })));
    return result.rows;
  }

  /** The same, ahead of whatever waits for a connection of the pool: for what keeps this process alive to others. */
  async ahead<Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]): Promise<Row[]> {
    const result = await this.reserved.query<Row>({ name, text, values });
    return result.rows;
  }

  /**
   * Reads a page of a list, which may take long: a few at once, and who reads many lets others in between.
   *
   * @throws Problem `unavailable` where too many are being read
   */
  async list<Row extends pg.QueryResultRow>(reader: string, text: string, values: unknown[]): Promise<Row[]> {
    if (!(await this.lists.enter(reader, LIST_WITHIN_MS)))
      throw new Problem('unavailable', 'Too many lists are being read at once.', { retryAfterSeconds: 2 });
    try {
      return await this.query<Row>(text, values);
    } finally {
      this.lists.leave();
    }
  }

  /** Runs one statement whose text depends on what is asked. @returns its rows */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<Row[]> {
    const result = await afterDeadlocks(() => this.heard(this.pool.query<Row>(text, values)));
    return result.rows;
  }

  /** Runs `work` in one transaction on one connection: nothing but statements, since a deadlock has it run once more. */
  transaction<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    return afterDeadlocks(() => this.attempt(work));
  }

  private async attempt<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.connect();
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      const broken = await client.query('ROLLBACK').then(
        () => false,
        () => true,
      );
      client.release(broken);
      throw error;
    }
  }

  /**
   * Runs a statement that nobody waits for, however much there is to do.
   *
   * @param lockedWithinMs how long it may wait for a lock, where others wait behind it
   */
  async patiently(text: string, lockedWithinMs = PATIENCE_MS): Promise<void> {
    await this.transaction(async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${PATIENCE_MS}`);
      await client.query(`SET LOCAL lock_timeout = ${lockedWithinMs}`);
      const statement = { text, query_timeout: PATIENCE_MS };
      await client.query(statement);
    });
  }

  /** What a statement selects or returns so that its rows look like this entity. */
  columnsOf(entity: EntityTarget<ObjectLiteral>): string {
    return this.source
      .getMetadata(entity)
      .columns.map(({ databaseName, propertyName }) => `${databaseName} AS "${propertyName}"`)
      .join(', ');
  }

  async ping(): Promise<void> {
    await this.pool.query('SELECT 1');
  }

  /** Where one connection has gone silent those that lie idle most likely have too: whoever comes next gets a new one. */
  private async heard<Answer>(asked: Promise<Answer>): Promise<Answer> {
    try {
      return await asked;
    } catch (error) {
      if (isSilence(error)) {
        for (let idle = this.pool.idleCount; idle > 0; idle -= 1)
          void this.connect().then((client) => client.release(true), ignore);
      }
      throw error;
    }
  }

  /** A connection that is held over several statements. Whoever holds it learns of its end by the next one. */
  private async connect(): Promise<pg.PoolClient> {
    const client = await this.pool.connect();
    // One that breaks while it is not asked anything would end the process. Added once, however often it is held.
    client.off('error', ignore);
    client.on('error', ignore);
    return client;
  }

  private get pool(): pg.Pool {
    // The driver types its pool as any; with type 'postgres' it is a pg.Pool.
    return (this.source.driver as unknown as { master: pg.Pool }).master;
  }
}

const ignore = () => undefined;

const MAX_DEADLOCKS = 5;

/**
 * Tries again what PostgreSQL has ended so that others can go on: nothing of it has happened (PostgreSQL documentation,
 * "Deadlocks" in the chapter on explicit locking; SQLSTATE 40P01).
 */
async function afterDeadlocks<Answer>(run: () => Promise<Answer>): Promise<Answer> {
  for (let deadlocks = 0; ; deadlocks += 1) {
    try {
      return await run();
    } catch (error) {
      const isDeadlock = error instanceof Error && 'code' in error && error.code === '40P01';
      if (!isDeadlock || deadlocks === MAX_DEADLOCKS) throw error;
    }
  }
}

/** Does again what found a table locked for too long (SQLSTATE 55P03): nothing of it has happened. */
async function onceLocked(work: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const cause: unknown = error instanceof QueryFailedError ? error.driverError : error;
      if (!(cause instanceof Error && 'code' in cause && cause.code === '55P03')) throw error;
    }
    await sleep(LET_GO_ON_MS);
  }
}

/** The driver has no code for it. */
const isSilence = (error: unknown): boolean =>
  error instanceof Error && error.message === 'Query read timeout';

type PostgresDataSourceOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

const optionsFor = (url: string): PostgresDataSourceOptions => ({
  type: 'postgres',
  url,
  applicationName: 'posthorn',
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  entities: [AccountEntity, ApiKeyEntity, EndpointEntity, EndpointSecretEntity],
  migrations: [
    Core1700000000001,
    Lanes1700000000002,
    Signing1700000000003,
    Audit1700000000004,
    Access1700000000005,
    Credentials1700000000006,
    EndpointHealth1700000000008,
    Plans1700000000009,
    Verification1700000000010,
    Retention1700000000011,
    Filters1700000000012,
    Transformations1700000000013,
    Catalogue1700000000014,
    Formats1700000000015,
    Conversions1700000000016,
    Lookups1700000000017,
    Batches1700000000018,
    FilterWarnings1700000000019,
    BacklogChanges1700000000020,
    FanoutsInTurns1700000000021,
    WokenNotifications1700000000022,
    WaitingDeliveries1700000000023,
    Overflow1700000000024,
    EmptyWeeks1700000000025,
    ToldNext1700000000026,
    ExpressOverflow1700000000027,
    UntriedDeliveries1700000000028,
  ],
  // Processes of the version before go on meanwhile: no lock is held for longer than one of them needs it.
  migrationsTransactionMode: 'each',
  // A connection that PostgreSQL drops while idle is replaced by the pool; TypeORM would log it as a fault.
  poolErrorHandler: () => undefined,
});

/**
 * Tells a database that cannot answer (down, restarting, out of connections) from a statement that is wrong.
 * SQLSTATE classes 08, 53, 57 and 58 are the operator's trouble, never the caller's.
 */
export function isUnavailable(error: unknown): boolean {
  const cause: unknown = error instanceof QueryFailedError ? error.driverError : error;
  if (typeof cause !== 'object' || cause === null) return false;
  const { code, message, errors } = cause as { code?: unknown; message?: unknown; errors?: unknown };
  if (typeof code === 'string') {
    if (/^(08|53|57|58)/.test(code) || code === '25006') return true;
    if (/^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)$/.test(code))
      return true;
  }
  // One failure for each address that a name had.
  if (Array.isArray(errors)) return errors.some(isUnavailable);
  return /timeout exceeded when trying to connect|Query read timeout|Connection terminated|Client has encountered a connection error|Cannot use a pool after calling end|Driver not Connected/i.test(
    String(message),
  );
}
