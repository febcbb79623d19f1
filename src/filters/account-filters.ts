import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Metrics } from '../metrics/metrics.js';
import { EndpointWarnings } from '../notifications/endpoint-warnings.js';
import { CelProcess } from './cel-process.js';
import type { CelResult } from './cel-protocol.js';
import { compile, TooCostly } from './compile.js';
import type { Filter, FilteredEvent } from './condition.js';
import { type FilteredEndpoint, FilterIndex } from './filter-index.js';
import { storedFilter, UnreadableFilter } from './read-filter.js';
import { Slices } from './slices.js';
import { Bits, type Verdict } from './verdict.js';

/** Endpoints with filters that are kept, of all accounts together; those of accounts that publish least recently are dropped. */
const MAX_KEPT = 200_000;
const PAGE = 500;

/** An event on its way into the database. */
export interface UnjudgedEvent {
  type: string;
  /** As JSON. */
  data: string;
  tags: readonly string[];
  priority: string | null;
}

interface Compiled extends FilteredEndpoint {
  /** Null where everything is taken. */
  matches: ((event: FilteredEvent) => boolean) | null;
  cel: string | null;
  isTest: boolean;
}

interface Known {
  version: number;
  endpoints: Map<string, Compiled>;
  index: FilterIndex<Compiled>;
}

/**
 * The filters of the accounts that publish through this process, compiled. What is known may be old: every verdict names
 * the version that it was made of, and the statement that commits events takes none of another version than the current
 * one. So an account without filters is asked nothing, and one with filters pays one more statement after a change.
 */
@Injectable()
export class AccountFilters {
  /** The least recently used account first. */
  private readonly known = new Map<string, Known>();
  private readonly loading = new Map<string, Promise<void>>();
  private readonly slices = new Slices();
  private readonly cel = new CelProcess();
  private kept = 0;

  constructor(
    private readonly database: Database,
    private readonly metrics: Metrics,
    private readonly warnings: EndpointWarnings,
  ) {}

  /** What an account's filters say of its events, in order; undefined when it is not known to have any. */
  judge(accountId: string, events: readonly UnjudgedEvent[]): Promise<Verdict[]> | undefined {
    const known = this.known.get(accountId);
    if (!known) return undefined;
    this.known.delete(accountId);
    this.known.set(accountId, known);
    return this.judgeAll(accountId, known, events);
  }

  /** Learns of what has changed since. Never older than what was committed before it was called. */
  async refresh(accountId: string): Promise<void> {
    // One that is under way may have begun too early.
    await this.loading.get(accountId)?.catch(() => undefined);
    let loading = this.loading.get(accountId);
    if (!loading) {
      loading = this.load(accountId).finally(() => this.loading.delete(accountId));
      this.loading.set(accountId, loading);
    }
    await loading;
  }

  /** Evaluates one expression as a publish does. */
  async evaluateCel(accountId: string, source: string, event: UnjudgedEvent): Promise<CelResult> {
    const [result] = await this.cel.run(accountId, celInput(event), [source]);
    if (!result) throw new Error('an expression got no result');
    return result;
  }

  async close(): Promise<void> {
    await this.cel.close();
  }

  private async judgeAll(
    accountId: string,
    known: Known,
    events: readonly UnjudgedEvent[],
  ): Promise<Verdict[]> {
    const verdicts: Verdict[] = [];
    const each = this.slices.begin(accountId);
    for (const event of events) verdicts.push(await this.judgeOne(accountId, known, event, each));
    return verdicts;
  }

  private async judgeOne(
    accountId: string,
    known: Known,
    event: UnjudgedEvent,
    each: ReturnType<Slices['begin']>,
  ): Promise<Verdict> {
    const { index, version } = known;
    const takes = new Bits(index.bytes);
    const candidates = index.candidates(event.type);
    const broken: Compiled[] = [];
    const asked: Compiled[] = [];
    if (candidates.length > 0) {
      const { type, tags, priority } = event;
      const parsed: FilteredEvent = { type, data: JSON.parse(event.data), tags, priority };
      await each(candidates, (endpoint) => {
        const outcome = ask(endpoint, parsed);
        if (outcome === 'cel') asked.push(endpoint);
        if (outcome === 'broken') broken.push(endpoint);
        if (outcome === 'takes' || outcome === 'broken') takes.set(endpoint.slot);
      });
    }
    if (asked.length > 0) broken.push(...(await this.askCel(accountId, event, asked, takes)));
    if (broken.length === 0) return { version, takes: takes.toString(), broken: null };
    this.metrics.filtersBroken(broken.length);
    const failed = new Bits(index.bytes);
    for (const { id, slot } of broken) {
      failed.set(slot);
      this.warnings.note('filter', id);
    }
    return { version, takes: takes.toString(), broken: failed.toString() };
  }

  /** @returns those whose expression failed */
  private async askCel(
    accountId: string,
    event: UnjudgedEvent,
    asked: readonly Compiled[],
    takes: Bits,
  ): Promise<Compiled[]> {
    const bySource = new Map<string, Compiled[]>();
    for (const endpoint of asked) {
      const source = endpoint.cel ?? '';
      const same = bySource.get(source);
      if (same) same.push(endpoint);
      else bySource.set(source, [endpoint]);
    }
    const sources = [...bySource.keys()];
    const results = await this.cel.run(accountId, celInput(event), sources);
    const broken: Compiled[] = [];
    for (const [index, source] of sources.entries()) {
      const endpoints = bySource.get(source) ?? [];
      const kind = results[index]?.kind;
      if (kind === 'error') broken.push(...endpoints);
      if (kind !== 'unmet') for (const { slot } of endpoints) takes.set(slot);
    }
    return broken;
  }

  private async load(accountId: string): Promise<void> {
    const [account] = await this.database.prepared<{ filters_version: number; is_test: boolean }>(
      'filters_version',
      `SELECT filters_version, mode = 'test' AS is_test FROM accounts WHERE id = $1`,
      [accountId],
    );
    const before = this.known.get(accountId);
    const version = account?.filters_version ?? 0;
    const endpoints = new Map(before?.endpoints);
    const each = this.slices.begin(accountId);
    // Each change has a number of its own, higher than those before: what changes meanwhile is met again further on, and
    // the version that was read first does not claim to know it.
    for (let after = before?.version ?? 0; ;) {
      const rows = await this.database.prepared<FilterRow>('filters_since', FILTERS_SINCE, [
        accountId,
        after,
        before !== undefined,
        PAGE,
      ]);
      await each(rows, (row) => {
        if (row.deleted) endpoints.delete(row.id);
        else endpoints.set(row.id, compiled(row));
      });
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) break;
      after = last.filter_version;
    }
    if (version === 0) this.forget(accountId);
    else {
      // Events of an account that tests go to test endpoints alone, and those of others to none.
      const meant = [...endpoints.values()].filter(({ isTest }) => isTest === account?.is_test);
      this.keep(accountId, { version, endpoints, index: new FilterIndex(meant) });
    }
  }

  private keep(accountId: string, known: Known): void {
    this.forget(accountId);
    this.known.set(accountId, known);
    this.kept += known.endpoints.size;
    for (const [other] of this.known) {
      if (this.kept <= MAX_KEPT || other === accountId) break;
      this.forget(other);
    }
  }

  private forget(accountId: string): void {
    this.kept -= this.known.get(accountId)?.endpoints.size ?? 0;
    this.known.delete(accountId);
  }
}

const celInput = ({ type, tags, priority, data }: UnjudgedEvent): string =>
  `${JSON.stringify({ type, tags, priority }).slice(0, -1)},"data":${data}}`;

/** Without a version before, the deleted ones are nobody's business. */
const FILTERS_SINCE = `
  SELECT id, filter_slot, filter_version, event_types, filter, test, deleted_at IS NOT NULL AS deleted FROM endpoints
  WHERE account_id = $1 AND filter_version > $2 AND ($3 OR deleted_at IS NULL)
  ORDER BY filter_version LIMIT $4`;

interface FilterRow {
  id: string;
  filter_slot: number;
  filter_version: number;
  event_types: string[] | null;
  filter: unknown;
  test: boolean;
  deleted: boolean;
}

function compiled({
  id,
  filter_slot: slot,
  event_types: eventTypes,
  filter: json,
  test: isTest,
}: FilterRow): Compiled {
  const filter = json === null ? null : readable(json);
  const { condition = null, cel = null } = filter === null || filter === 'unreadable' ? {} : filter;
  return { id, slot, eventTypes, filter, isTest, matches: condition && compile(condition), cel };
}

/** One that another release has written is broken here, and stops no other. */
function readable(json: unknown): Filter | 'unreadable' {
  try {
    return storedFilter(json);
  } catch (error) {
    if (error instanceof UnreadableFilter) return 'unreadable';
    throw error;
  }
}

function ask(endpoint: Compiled, event: FilteredEvent): 'takes' | 'leaves' | 'broken' | 'cel' {
  if (endpoint.filter === 'unreadable') return 'broken';
  try {
    if (endpoint.matches && !endpoint.matches(event)) return 'leaves';
  } catch (error) {
    if (error instanceof TooCostly) return 'broken';
    throw error;
  }
  return endpoint.cel === null ? 'takes' : 'cel';
}
