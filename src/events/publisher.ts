import { Injectable } from '@nestjs/common';
import { BatchCollector } from '../batches/batch-collector.js';
import { toId, UuidV7Sequence } from '../common/ids.js';
import { priorityLevel } from '../common/priority.js';
import { notFound } from '../common/problems.js';
import { Database } from '../database/database.js';
import { Loader } from '../deliveries/loader.js';
import { EventTypeUsage } from '../event-types/event-type-usage.js';
import { AccountFilters } from '../filters/account-filters.js';
import type { Verdict } from '../filters/verdict.js';
import { type Commit, CommitQueues } from './commit-queues.js';
import { findByExternalId, findById } from './earlier-events.js';
import { FanOut } from './fan-out.js';
import { type EndpointJson, madeDeliveries } from './made-deliveries.js';
import { type JudgedEvent, type NewEvent, ownerOf, type Result } from './new-event.js';
import { type MatchedRow, NewDeliveries, type NewDeliveryTerms } from './new-deliveries.js';
import { HOT_PUBLISH, type InsertedRow } from './publish-statements.js';
import { Metrics } from '../metrics/metrics.js';
import type { Published } from './events.schema.js';
import { WideAccounts } from './wide-accounts.js';

/** How often filters may change while an event is matched with them; after that their changes wait for it. */
const MAX_STALE = 5;

/**
 * Commits events and their deliveries together, many publishers to one statement. Endpoints are matched inside the
 * statement, so one that was made or changed before the publish was sent is seen, whichever process did it.
 */
@Injectable()
export class Publisher {
  private readonly ids = new UuidV7Sequence();
  private readonly queues: CommitQueues;
  private readonly wide: WideAccounts;
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
    this.wide = new WideAccounts(database);
    this.queues = new CommitQueues(
      (publishes) => this.commitAll(publishes),
      () => newDeliveries.expect(),
      (accountId) => this.wide.has(accountId),
    );
  }

  /**
   * Resolves once the events of one account and their deliveries are committed: all of them, or none.
   *
   * @param alone what is not to fail together with others: its id may be there by now
   * @throws Problem `not_found` for an unknown account, `unavailable` under overload
   */
  publish(events: NewEvent[], alone = false): Promise<Published[]> {
    return this.queues.use(events, alone, (commit) => this.commitCurrent(ownerOf(events), events, commit));
  }

  /**
   * Commits under the filters as they are: the statement tells when others have been set since the events were judged. Who
   * publishes together with others does not make them wait for filters.
   */
  private async commitCurrent(
    accountId: string,
    events: NewEvent[],
    commitTogether: Commit,
  ): Promise<Published[]> {
    const published = new Map<NewEvent, Published>();
    /** @returns whether all are published */
    const commit = async (): Promise<boolean> => {
      const left = events.filter((event) => !published.has(event));
      const judging = this.filters.judge(accountId, left);
      const results = await commitTogether(judging ? withVerdicts(left, await judging) : left);
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

  /** @param events all with an id. @returns those of them that were published under theirs, by it */
  findAgain(events: NewEvent[]): Promise<Map<string, Published>> {
    return findById(
      this.database,
      ownerOf(events),
      events.map(({ id }) => id ?? ''),
    );
  }

  drained(): Promise<void> {
    return this.queues.drained();
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
    const claimed = await findByExternalId(
      this.database,
      rows.filter((row) => isClaimed(inserted.get(row.id))),
    );
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
}

/** SQLSTATE 23505: an event of the same id. */
const isThereAlready = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23505';

const isClaimed = (row: InsertedRow | undefined): boolean => row !== undefined && !row.fresh && !row.stale;

const withVerdicts = (events: NewEvent[], verdicts: Verdict[]): JudgedEvent[] =>
  events.map((event, index) => {
    const verdict = verdicts[index];
    return verdict ? { ...event, verdict } : event;
  });
