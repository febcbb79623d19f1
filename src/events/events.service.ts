import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { uuidV7Of } from '../common/ids.js';
import { type FieldError, notFound, Problem } from '../common/problems.js';
import { steadyMs } from '../common/steady-clock.js';
import { ConvertedEvents } from '../conversions/converted-events.js';
import { PublishChecks } from '../event-types/publish-checks.js';
import type { TellFields } from '../http/http.decorators.js';
import type { Once } from '../http/idempotency.interceptor.js';
import { Metrics } from '../metrics/metrics.js';
import { AccountPlans } from '../plans/account-plans.js';
import { checkBatch, checkPriority, type Plan } from '../plans/plan.js';
import { limitsPublishing, PublishAllowances } from '../plans/publish-allowances.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import { EVENT_COLUMNS, type EventRow, showEvent, showWithData } from './event-rows.js';
import type {
  EventQuery,
  EventsQuery,
  EventSummary,
  PublishBatchBody,
  PublishBody,
  Published,
} from './events.schema.js';
import { pointersIn, type Publication, type PublishedItem } from './publication.js';
import type { NewEvent } from './new-event.js';
import { Publisher } from './publisher.js';
import { rawBatchData } from './raw-data.js';

/** Of a request to publish, beside what it publishes. */
export interface PublishRequest {
  once: Once | null;
  tell: TellFields;
}

const idOf = ({ seed, atMs }: Once, index: number): string => uuidV7Of(seed, atMs, index);

/** What an account's publisher has told. */
@Injectable()
export class EventsService {
  constructor(
    private readonly database: Database,
    private readonly publisher: Publisher,
    private readonly plans: AccountPlans,
    private readonly allowances: PublishAllowances,
    private readonly metrics: Metrics,
    private readonly checks: PublishChecks,
    private readonly converted: ConvertedEvents,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /**
   * @param request `tell`: what is left of the limits of the account's plan
   * @returns one answer, or of a batch one for each event, in order
   */
  async publish(
    _caller: Caller,
    accountId: string,
    { items, isBatch }: Publication,
    request: PublishRequest,
  ): Promise<Published | { data: Published[] }> {
    const data = await this.take(accountId, items, request);
    if (isBatch) return { data };
    const [published] = data;
    if (!published) throw new Error('a publish got no answer');
    return published;
  }

  /** Commits all or none, so that a batch that failed may be sent again as it is. */
  async publishBatch(
    _caller: Caller,
    accountId: string,
    body: PublishBatchBody,
    bodyText: string,
    request: PublishRequest,
  ): Promise<{ data: Published[] }> {
    const data = rawBatchData(bodyText);
    const items = body.events.map((event, index): PublishedItem => {
      return { body: event, data: data[index] ?? 'null', pointers: pointersIn(`/events/${index}`) };
    });
    return { data: await this.take(accountId, items, request) };
  }

  async list(_caller: Caller, accountId: string, query: EventsQuery): Promise<Page<EventSummary>> {
    const conditions = new Conditions('account_id = ?', accountId);
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('events', query.cursor));
    if (query.type !== undefined) conditions.and('type = ?', query.type);
    if (query.externalId !== undefined) {
      conditions.and(
        'id = (SELECT event_id FROM event_external_ids WHERE account_id = $1 AND external_id = ?)',
        query.externalId,
      );
    }
    const rows = await this.database.list<EventRow>(
      accountId,
      `SELECT ${EVENT_COLUMNS} FROM events v WHERE ${conditions.text} ORDER BY id DESC LIMIT ${query.limit + 1}`,
      conditions.values,
    );
    return toPage('events', rows, query.limit, showEvent);
  }

  /**
   * @returns JSON text, so that `data` is shown byte for byte as it is delivered
   * @throws Problem `not_found`, `unavailable` where it cannot be converted now
   */
  async get(_caller: Caller, accountId: string, id: string, { version }: EventQuery): Promise<string> {
    const [row] = await this.database.prepared<EventRow & { data: string }>(
      'get_event',
      `SELECT ${EVENT_COLUMNS}, v.data FROM events v WHERE v.id = $1 AND v.account_id = $2`,
      [id, accountId],
    );
    if (!row) throw notFound('event');
    if (version === undefined || version === row.version) return showWithData(row);
    // Whoever asks for it here is no endpoint: what asks for the same event takes turns together.
    const asked = { account_id: accountId, endpoint_id: id, event_id: id, pinned_version: version };
    return showWithData(await this.converted.of({ ...row, ...asked }));
  }

  private async take(
    accountId: string,
    items: readonly PublishedItem[],
    { once, tell }: PublishRequest,
  ): Promise<Published[]> {
    const plan = this.plans.known(accountId) ?? (await this.plans.load(accountId));
    checkBatch(plan, items.length, '/events');
    const events = items.map((item, index) => this.toEvent(plan, accountId, item, once && idOf(once, index)));
    const warnings = this.checks.mode === 'off' ? null : await this.checks.check(items);
    const published = await this.commitOnce(plan, events, { once, tell });
    return warnings === null
      ? published
      : published.map((each, index) => withWarnings(each, warnings[index]));
  }

  /**
   * The events of a request that is sent again have the ids that they had before. All were committed or none, so where some
   * are there, the others were none of their own: they learn again whose external id they have.
   */
  private async commitOnce(
    plan: Plan,
    events: NewEvent[],
    { once, tell }: PublishRequest,
  ): Promise<Published[]> {
    if (!once?.again) return this.commit(plan, events, tell);
    const before = await this.publisher.findAgain(events);
    const missing = events.filter(({ id }) => !before.has(id ?? ''));
    const rest = (missing.length === 0 ? [] : await this.commit(plan, missing, tell, true)).values();
    return events.flatMap(({ id }) => before.get(id ?? '') ?? rest.next().value ?? []);
  }

  /** What is refused or fails counts towards no limit. */
  private async commit(
    plan: Plan,
    events: NewEvent[],
    tell: TellFields,
    alone = false,
  ): Promise<Published[]> {
    const accountId = events[0]?.accountId ?? '';
    if (!limitsPublishing(plan.limits)) return this.publisher.publish(events, alone);
    const takenAtMs = steadyMs();
    tell(await this.allowances.take(plan, accountId, events.length));
    try {
      return await this.publisher.publish(events, alone);
    } catch (error) {
      this.allowances.giveBack(accountId, events.length, takenAtMs);
      throw error;
    }
  }

  private toEvent(
    plan: Plan,
    accountId: string,
    { body, data, pointers }: PublishedItem,
    id: string | null,
  ): NewEvent {
    this.checkSize(plan, Buffer.byteLength(data), pointers.data);
    this.checkPriority(plan, body, pointers.priority);
    return {
      ...(id === null ? {} : { id }),
      accountId,
      externalId: body.externalId ?? null,
      type: body.type,
      timestamp: body.timestamp ?? null,
      version: body.version ?? '1',
      tags: body.tags ?? [],
      priority: body.priority ?? null,
      data,
    };
  }

  private checkSize(plan: Plan, bytes: number, pointer: string): void {
    const ofPlan = plan.limits.payloadBytes ?? Infinity;
    if (bytes <= Math.min(this.settings.EVENT_BYTES, ofPlan)) return;
    const errors = [{ pointer, detail: `has ${bytes} bytes` }];
    if (bytes > this.settings.EVENT_BYTES && this.settings.EVENT_BYTES <= ofPlan) {
      const detail = `An event's data may have ${this.settings.EVENT_BYTES} bytes at most.`;
      throw new Problem('payload_too_large', detail, { errors });
    }
    this.metrics.publishRefused('payloadBytes');
    throw new Problem(
      'payload_too_large',
      `The plan \`${plan.name}\` allows ${ofPlan} bytes of an event's data (\`payloadBytes\`).`,
      { errors, limit: { name: 'payloadBytes', plan: plan.name } },
    );
  }

  private checkPriority(plan: Plan, { priority }: PublishBody, pointer: string): void {
    try {
      checkPriority(plan, priority, pointer);
    } catch (error) {
      this.metrics.publishRefused('priorityCeiling');
      throw error;
    }
  }
}

const withWarnings = (published: Published, warnings: FieldError[] = []): Published =>
  warnings.length === 0 ? published : { ...published, warnings };
