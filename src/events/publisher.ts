import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { BatchCollector } from '../batches/batch-collector.js';
import { toId, UuidV7Sequence } from '../common/ids.js';
import { MicroBatch } from '../common/micro-batch.js';
import { type Priority, priorityLevel } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { Loader } from '../deliveries/loader.js';
import { EventTypeUsage } from '../event-types/event-type-usage.js';
import { AccountFilters } from '../filters/account-filters.js';
import type { Verdict } from '../filters/verdict.js';
import { FanOut } from './fan-out.js';
import { PublishRoom } from './publish-room.js';
import { type EndpointJson, madeDeliveries } from './made-deliveries.js';
import { type MatchedRow, NewDeliveries, type NewDeliveryTerms } from './new-deliveries.js';
import {
  type ClaimedRow,
  FIND_AGAIN,
  FIND_CLAIMED,
  HOT_PUBLISH,
  type InsertedRow,
} from './publish-statements.js';
import { Metrics } from '../metrics/metrics.js';
import type { Published } from './events.schema.js';

/** One event on its way into the database. */
export interface NewEvent {
  /** UUIDv7, where it has one already; it is published once under it. */
  id?: string;
  accountId: string;
  externalId: string | null;
  type: string;
  /** RFC 3339, or null for the moment of publishing. */
  timestamp: string | null;
  version: string;
  tags: string[];
  priority: Priority | null;
  /** JSON text as the publisher sent it. */
  data: string;
}

/** An event with what its account's filters say of it; without, where they are not known to be any. */
type JudgedEvent = NewEvent & { verdict?: Verdict };

/**
 * `stale`: nothing of it was written, since what it was judged by has changed, its account's filters or the earlier event of its
 * external id. Null: there is no such account.
 */
type Result = Published | 'stale' | null;

const MAX_PUBLISHES_PER_COMMIT = 100;
/**
 * What may wait for its commit; past this a publisher is told to come back instead of filling memory. Events that come many
 * at once have as much room of their own, so that nobody's batches refuse what others publish one by one.
 */
const MAX_WAITING = { events: 20_000, bytes: 256 * 1024 * 1024 };
/** Publishes that an account may have under way at once without leaving room to others. */
const CALM = 16;
/** For how long an account that does not flood is expected back. */
const CALM_FOR_MS = 10_000;
/** Between the commits of floods while others are here: whoever publishes as fast as it is answered slows down. */
const FLOOD_SPACING_MS = 30;
/** How long many events at once leave to others after their commit, as a multiple of what that took. */
const MANY_REST = { times: 3, mostMs: 1_000 };
/** How long many events at once wait for those under way that are one by one. */
const YIELD = { stepMs: 2, mostMs: 20 };
/**
 * An account whose event has gone to so many endpoints has its own commits for a while: each type of event is compared with
 * all its endpoints, which takes long where both are many.
 */
const WIDE = { endpoints: 1_000, forMs: 60_000, publishesPerCommit: 10 };
const MAX_BYTES_PER_COMMIT = 8 * 1024 * 1024;
/** How often filters may change while an event is matched with them; after that their changes wait for it. */
const MAX_STALE = 5;
/**
 * Commits events and their deliveries together, many publishers to one statement. Endpoints are matched inside the
 * statement, so one that was made or changed before the publish was sent is seen, whichever process did it.
 */
@Injectable()
export class Publisher {
  private readonly singles: MicroBatch<JudgedEvent[], Result[]>;
  private readonly many: MicroBatch<JudgedEvent[], Result[]>;
  private readonly ofFloods: MicroBatch<JudgedEvent[], Result[]>;
  private readonly ofWide: MicroBatch<JudgedEvent[], Result[]>;
  /** Until when accounts have their own commits. */
  private readonly wideUntilMs = new Map<string, number>();
  /** Publishes under way, by account. */
  private readonly underWay = new Map<string, number>();
  /** When accounts that do not flood published last, the longest ago first. */
  private readonly calmAtMs = new Map<string, number>();
  private readonly ids = new UuidV7Sequence();
  private readonly room = { single: new PublishRoom(MAX_WAITING), many: new PublishRoom(MAX_WAITING) };
  /** Publishes under way of accounts that do not flood. */
  private calm = 0;
  private manyRestUntilMs = 0;
  /** The last one that filters stand still for. */
  private standing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly loader: Loader,
    private readonly newDeliveries: NewDeliveries,
    private readonly fanOut: FanOut,
    private readonly collector: BatchCollector,
    private readonly filters: AccountFilters,
    private readonly metrics: Metrics,
    private readonly usage: EventTypeUsage,
  ) {
    // One commit under way, one being prepared: more only makes the batches smaller.
    this.singles = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: MAX_PUBLISHES_PER_COMMIT,
      concurrency: 2,
      weigh: sizeOf,
      maxWeight: MAX_BYTES_PER_COMMIT,
      spacingMs: 4,
      ownerOf,
    });
    this.ofFloods = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: MAX_PUBLISHES_PER_COMMIT,
      concurrency: 1,
      weigh: sizeOf,
      maxWeight: MAX_BYTES_PER_COMMIT,
      spacingMs: FLOOD_SPACING_MS,
      ownerOf,
    });
    this.ofWide = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: WIDE.publishesPerCommit,
      concurrency: 1,
      weigh: sizeOf,
      maxWeight: MAX_BYTES_PER_COMMIT,
      ownerOf,
    });
    // Large ones take long, and nobody who publishes one event should wait behind them.
    this.many = new MicroBatch((publishes) => this.commitInTurn(publishes), {
      maxItems: 1,
      concurrency: 1,
      ownerOf,
    });
  }

  /**
   * Resolves once the events of one account and their deliveries are committed: all of them, or none.
   *
   * @param alone what is not to fail together with others: its id may be there by now
   * @throws Problem `not_found` for an unknown account, `unavailable` under overload
   */
  async publish(events: NewEvent[], alone = false): Promise<Published[]> {
    const isSingle = events.length === 1 && !alone;
    const room = this.room[isSingle ? 'single' : 'many'];
    const accountId = ownerOf(events);
    const amount = { events: events.length, bytes: sizeOf(events) };
    if (!room.enter(accountId, amount)) {
      throw new Problem('unavailable', 'More events are waiting to be committed than this process takes.', {
        retryAfterSeconds: 1,
      });
    }
    this.underWay.set(accountId, (this.underWay.get(accountId) ?? 0) + 1);
    const isWide = this.isWide(accountId);
    const isCalm = isSingle && !isWide && !this.isFlooding(accountId);
    const arrived = isCalm ? this.newDeliveries.expect() : () => undefined;
    if (isCalm) this.calm += 1;
    try {
      const one = isWide ? this.ofWide : isCalm ? this.singles : this.ofFloods;
      const batch = isSingle ? one : this.many;
      const published = await this.commitCurrent(accountId, events, batch);
      if (published.some(({ matched }) => matched >= WIDE.endpoints))
        this.wideUntilMs.set(accountId, Date.now() + WIDE.forMs);
      return published;
    } finally {
      arrived();
      if (isCalm) this.calm -= 1;
      room.leave(accountId, amount);
      const left = (this.underWay.get(accountId) ?? 1) - 1;
      if (left > 0) this.underWay.set(accountId, left);
      else this.underWay.delete(accountId);
    }
  }

  /**
   * Commits under the filters as they are: the statement tells when others have been set since the events were judged. Who
   * publishes together with others does not make them wait for filters.
   */
  private async commitCurrent(
    accountId: string,
    events: NewEvent[],
    batch: MicroBatch<JudgedEvent[], Result[]>,
  ): Promise<Published[]> {
    const published = new Map<NewEvent, Published>();
    /** @returns whether all are published */
    const commit = async (): Promise<boolean> => {
      const left = events.filter((event) => !published.has(event));
      const judging = this.filters.judge(accountId, left);
      const results = await batch.add(judging ? withVerdicts(left, await judging) : left);
      for (const [index, event] of left.entries()) {
        const result = results[index] ?? null;
        if (result === null) throw notFound('account');
        if (result !== 'stale') published.set(event, result);
      }
      return published.size === events.length;
    };
    let isDone = await commit();
    for (let tries = 1; !isDone && tries < MAX_STALE; tries += 1) {
      await this.filters.refresh(accountId);
      isDone = await commit();
    }
    isDone ||= await this.whileFiltersStand(accountId, async () => {
      await this.filters.refresh(accountId);
      return commit();
    });
    if (!isDone) throw new Error('filters have changed though their account is locked');
    return events.flatMap((event) => published.get(event) ?? []);
  }

  /** One at a time: each needs a connection beside its own. A change of a filter counts in the row of its account. */
  private whileFiltersStand<Result>(accountId: string, work: () => Promise<Result>): Promise<Result> {
    const result = this.standing.then(() =>
      this.database.transaction(async (client) => {
        await client.query('SELECT FROM accounts WHERE id = $1 FOR SHARE', [accountId]);
        return work();
      }),
    );
    this.standing = result.catch(() => undefined);
    return result;
  }

  private isWide(accountId: string): boolean {
    const untilMs = this.wideUntilMs.get(accountId);
    if (untilMs === undefined) return false;
    if (Date.now() < untilMs) return true;
    this.wideUntilMs.delete(accountId);
    return false;
  }

  /** Whether the account publishes more at once than others do who are here: it then leaves them room. */
  private isFlooding(accountId: string): boolean {
    const now = Date.now();
    this.calmAtMs.delete(accountId);
    if ((this.underWay.get(accountId) ?? 0) <= CALM) {
      this.calmAtMs.set(accountId, now);
      return false;
    }
    return this.othersAreHere(now);
  }

  /** Whether accounts that do not flood are expected to publish. */
  private othersAreHere(now: number): boolean {
    for (const [account, atMs] of this.calmAtMs) {
      if (now - atMs < CALM_FOR_MS) return true;
      this.calmAtMs.delete(account);
    }
    return false;
  }

  /** @param events all with an id. @returns those of them that were published under theirs, by it */
  async findAgain(events: NewEvent[]): Promise<Map<string, Published>> {
    const rows = await this.database.prepared<Omit<ClaimedRow, 'asked_by'>>('find_again', FIND_AGAIN, [
      events.map(({ id }) => id),
      ownerOf(events),
    ]);
    return new Map(rows.map((row) => [row.id, publishedBefore(row)]));
  }

  async drained(): Promise<void> {
    await Promise.all(
      [this.singles, this.ofFloods, this.ofWide, this.many].map((batches) => batches.drained()),
    );
  }

  private async commitAll(publishes: JudgedEvent[][]): Promise<Result[][]> {
    try {
      const results = (await this.commit(publishes.flat())).values();
      return publishes.map((events) => events.map(() => results.next().value ?? null));
    } catch (error) {
      if (!isThereAlready(error)) throw error;
      return this.commitEach(publishes, error);
    }
  }

  /** One of them has been published meanwhile, by the same request sent again: the others are not to fail with it. */
  private async commitEach(publishes: JudgedEvent[][], collision: unknown): Promise<Result[][]> {
    const [events = [], ...others] = publishes;
    if (others.length === 0) {
      const found = await this.findAgain(events);
      const before = events.flatMap(({ id }) => found.get(id ?? '') ?? []);
      if (before.length < events.length) throw collision;
      return [before];
    }
    const results: Result[][] = [];
    for (const each of publishes) results.push(...(await this.commitAll([each])));
    return results;
  }

  /** Others go first for longer than the last large commit took. */
  private async commitInTurn(publishes: JudgedEvent[][]): Promise<Result[][]> {
    await sleep(Math.max(0, this.manyRestUntilMs - performance.now()));
    for (let waitedMs = 0; this.calm > 0 && waitedMs < YIELD.mostMs; waitedMs += YIELD.stepMs)
      await sleep(YIELD.stepMs);
    const beganAtMs = performance.now();
    const results = await this.commitAll(publishes);
    const now = performance.now();
    if (this.othersAreHere(Date.now()))
      this.manyRestUntilMs = now + Math.min(MANY_REST.times * (now - beganAtMs), MANY_REST.mostMs);
    return results;
  }

  private async commit(events: JudgedEvent[]): Promise<Result[]> {
    const now = Date.now();
    const firsts = new Map<string, number>();
    const rows: (JudgedEvent & { id: string; at: Date })[] = [];
    // Two of the same external id in one batch: the first is published, the others learn of it.
    const sources = events.map((event) => {
      const key = event.externalId === null ? null : `${event.accountId}/${event.externalId}`;
      const first = key === null ? undefined : firsts.get(key);
      if (first !== undefined) return { row: first, first: false };
      if (key !== null) firsts.set(key, rows.length);
      rows.push({
        ...event,
        id: event.id ?? this.ids.next(now),
        at: event.timestamp === null ? new Date(now) : new Date(event.timestamp),
      });
      return { row: rows.length - 1, first: true };
    });

    const inserted = new Map<string, InsertedRow>();
    const matched: MatchedRow[] = [];
    const endpoints: EndpointJson[] = [];
    const terms = this.newDeliveries.terms();
    let collected = false;
    const readAtMs = performance.now();
    for (const row of await this.insert(rows, terms)) {
      collected ||= row.collected;
      inserted.set(row.id, row);
      if (row.matches) matched.push(...row.matches);
      if (row.endpoints) endpoints.push(...row.endpoints);
    }
    this.loader.whileKnown(madeDeliveries(matched, rows, endpoints, terms), readAtMs, () =>
      this.newDeliveries.offer(matched, terms),
    );
    if (collected) this.collector.nudge();
    if ([...inserted.values()].some(({ later }) => later)) this.fanOut.nudge();
    const claimed = await this.findClaimed(rows.filter((row) => isClaimed(inserted.get(row.id))));
    const fresh = rows.filter((row) => inserted.get(row.id)?.fresh);
    this.metrics.publishedEvents(fresh.length);
    for (const { type, version } of fresh) this.usage.published(type, version);

    return sources.map(({ row: index, first }) => {
      const row = rows[index];
      const result = row && inserted.get(row.id);
      if (!row || !result) return null;
      if (result.stale) return 'stale';
      const earlier = claimed.get(row.id);
      if (earlier) return { ...earlier, duplicate: true };
      // Retention has removed the earlier one meanwhile.
      if (!result.fresh) return 'stale';
      return {
        id: toId('event', row.id),
        externalId: row.externalId,
        type: row.type,
        timestamp: row.at.toISOString(),
        duplicate: !first,
        matched: result.matched,
      };
    });
  }

  private insert(
    rows: (JudgedEvent & { id: string; at: Date })[],
    { lease, lane, express }: NewDeliveryTerms,
  ): Promise<InsertedRow[]> {
    // One JSON text: the driver writes arrays element by element.
    const input = rows.map((row) => ({
      id: row.id,
      account_id: row.accountId,
      external_id: row.externalId,
      type: row.type,
      occurred_at: row.at,
      version: row.version,
      tags: row.tags,
      priority: row.priority,
      level: row.priority && priorityLevel(row.priority),
      data: row.data,
      filters: row.verdict?.version,
      takes: row.verdict?.takes,
      broken: row.verdict?.broken,
    }));
    return this.database.prepared<InsertedRow>(HOT_PUBLISH.name, HOT_PUBLISH.text, [
      JSON.stringify(input),
      lease,
      lane,
      express,
    ]);
  }

  /** The earlier events that hold these rows' external ids, by row id. */
  private async findClaimed(rows: { id: string; accountId: string; externalId: string | null }[]) {
    const found = new Map<string, Published>();
    if (rows.length === 0) return found;
    const earlier = await this.database.prepared<ClaimedRow>('find_claimed', FIND_CLAIMED, [
      rows.map((row) => row.id),
      rows.map((row) => row.accountId),
      rows.map((row) => row.externalId),
    ]);
    for (const row of earlier) {
      found.set(row.asked_by, publishedBefore(row));
    }
    return found;
  }
}

/** All that is published together is of one account. */
const ownerOf = ([event]: NewEvent[]): string => event?.accountId ?? '';

const sizeOf = (events: NewEvent[]): number => events.reduce((sum, { data }) => sum + data.length, 0);

/** SQLSTATE 23505: an event of the same id. */
const isThereAlready = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23505';

const publishedBefore = (row: Omit<ClaimedRow, 'asked_by'>): Published => ({
  id: toId('event', row.id),
  externalId: row.external_id,
  type: row.type,
  timestamp: row.occurred_at.toISOString(),
  duplicate: true,
  matched: row.matched,
});

const isClaimed = (row: InsertedRow | undefined): boolean => row !== undefined && !row.fresh && !row.stale;

/** All are of one account: a batch is stale as a whole. */
const withVerdicts = (events: NewEvent[], verdicts: Verdict[]): JudgedEvent[] =>
  events.map((event, index) => {
    const verdict = verdicts[index];
    return verdict ? { ...event, verdict } : event;
  });
