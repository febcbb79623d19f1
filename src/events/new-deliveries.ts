import { Inject, Injectable } from '@nestjs/common';
import type { LaneName } from '../common/lane.js';
import type { PriorityLevel } from '../common/priority.js';
import { OPERATIONAL_PREFIX } from '../common/schemas.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { DispatchItem } from '../dispatch/dispatch-item.js';
import { Dispatcher } from '../dispatch/dispatcher.js';
import { Doorbell } from '../dispatch/doorbell.js';
import { Intake } from '../dispatch/intake.js';
import { IN_HAND_SECONDS } from '../dispatch/process-lease.js';

/** A delivery that was just made and is to be sent at once, as {@link OFFERED_COLUMNS} have it. */
export type MatchedRow = [
  deliveryId: string,
  accountId: string,
  eventId: string,
  endpointId: string,
  eventType: string,
  url: string,
  priority: PriorityLevel,
  lane: LaneName | null,
];

/** Passes deliveries that were just committed to the dispatcher of this process, or leaves them to another. */
@Injectable()
export class NewDeliveries {
  constructor(
    private readonly dispatcher: Dispatcher,
    private readonly intake: Intake,
    private readonly doorbell: Doorbell,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /** Values for {@link makeDeliveries}, at this moment. */
  terms(): NewDeliveryTerms {
    const lease = this.dispatcher.isCutOff ? null : this.dispatcher.holder;
    // What is left to others was started by nobody, so whoever takes it may choose.
    return { lease, lane: this.settings.LANE, express: lease === null || this.dispatcher.isExpress };
  }

  /** Deliveries are about to be committed that are not to wait for backlogs. @returns what to call once they were */
  expect(): () => void {
    return this.dispatcher.expect();
  }

  /** @param rows those committed under `terms` that are to be sent at once */
  offer(rows: MatchedRow[], terms: NewDeliveryTerms): void {
    if (terms.lease === null) {
      this.intake.nudge();
      this.doorbell.ring();
      return;
    }
    if (rows.length === 0) return;
    this.dispatcher.offer(
      rows.map(
        ([deliveryId, accountId, eventId, endpointId, eventType, url, priority, own]): DispatchItem => ({
          deliveryId,
          accountId,
          eventId,
          endpointId,
          eventType,
          url,
          priority,
          express: goesByExpress(own, terms),
          auto: (own ?? terms.lane) === 'auto',
        }),
      ),
    );
  }
}

export interface NewDeliveryTerms {
  /** Under which the deliveries are held; null leaves them to whoever has room. */
  lease: string | null;
  /** Of endpoints that have none of their own. */
  lane: LaneName;
  /** Which way those go that may go either. */
  express: boolean;
}

/** @param own lane of the endpoint; null where it has none */
export const goesByExpress = (own: LaneName | null, { lane, express }: NewDeliveryTerms): boolean =>
  (own ?? lane) === 'auto' ? express : (own ?? lane) === 'express';

/** An endpoint may be resumed while a publish that saw it paused runs: its delivery is looked at once more. */
const HELD_GRACE = 2;

/** What a match of `endpoints e` with an event's type (`event_types y`) says of the delivery. */
export const MATCHING_COLUMNS = `e.url, e.lane, coalesce(e.priority, y.priority, 3::smallint) AS level,
  e.held_reason,
  CASE WHEN e.disabled_reason IS NOT NULL THEN 'skipped' WHEN e.batch IS NOT NULL THEN 'batched' WHEN e.held_reason IS NOT NULL THEN 'held' ELSE 'pending' END AS status`;

/** What endpoints may ask for to be given a type: its name, and each prefix of it that ends with a dot, with `*` after it. */
export const askedBy = (type: string): string => `ARRAY[${type}] || ARRAY(
  SELECT left(${type}, at) || '*' FROM generate_series(1, length(${type})) at WHERE substr(${type}, at, 1) = '.')`;

/** Whether `endpoints e` takes a type. @param asked as {@link askedBy} has it */
export const takesType = (type: string, asked: string): string =>
  `((e.event_types IS NULL AND NOT starts_with(${type}, '${OPERATIONAL_PREFIX}')) OR e.event_types && ${asked})`;

/** Whether `endpoints e` are meant by what is published as a test, or not as one. */
export const takesTests = (test: string): string => `e.test = ${test}`;

/**
 * Whether the endpoint at `slot` has no filter, or one that lets the event through, or one that failed. `event` has the
 * bits of its verdict, and how many slots there were when they were made: who has a later one had no filter then.
 */
export const passesFilter = (event: string, slot: string): string => `CASE
  WHEN ${event}.takes IS NULL OR ${slot} IS NULL OR ${slot} >= least(${event}.slots, 8 * length(${event}.takes)) THEN true
  ELSE get_bit(${event}.takes, ${slot}) = 1 END`;

/** The delivery is made where a filter failed, so that nothing is lost: it can be sent once the filter is mended. */
export const statusUnderFilters = (status: string, event: string, slot: string): string => `CASE
  WHEN ${event}.broken IS NULL OR ${slot} IS NULL OR ${status} = 'skipped'
    OR ${slot} >= least(${event}.slots, 8 * length(${event}.broken)) THEN ${status}
  WHEN get_bit(${event}.broken, ${slot}) = 1 THEN 'failed' ELSE ${status} END`;

/** {@link goesByExpress}, of a `lane`; the parameters are places of {@link NewDeliveryTerms} in the statement. */
export const isExpress = (lane: string, express: string): string =>
  `CASE coalesce(lane, ${lane}::text) WHEN 'express' THEN true WHEN 'durable' THEN false ELSE ${express}::boolean END`;

/**
 * Inserts the deliveries of `source`; the other parameters are places of {@link NewDeliveryTerms} in the statement. One
 * that is held has no workflow: which way it goes is decided when it goes.
 */
export const makeDeliveries = (source: string, lease: string, lane: string, express: string): string => `
  INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status, status_reason, priority, express,
    lease, due_at, completed_at, test)
  SELECT id, account_id, event_id, endpoint_id, type, status,
    CASE status WHEN 'held' THEN held_reason WHEN 'skipped' THEN 'endpoint_disabled' WHEN 'failed' THEN 'filter_error' END,
    level,
    status = 'held' OR ${isExpress(lane, express)},
    CASE status WHEN 'pending' THEN ${lease}::bigint END,
    CASE status WHEN 'held' THEN now() + interval '${HELD_GRACE} seconds'
      WHEN 'pending' THEN now() + CASE WHEN ${lease}::bigint IS NULL THEN 0 ELSE ${IN_HAND_SECONDS} END * interval '1 second' END,
    CASE WHEN status IN ('skipped', 'failed') THEN now() END, test
  FROM ${source}`;

/** {@link MatchedRow} of `matches m`. */
export const OFFERED_COLUMNS =
  'm.id, m.account_id, m.event_id, m.endpoint_id, m.type, m.url, m.level, m.lane';
