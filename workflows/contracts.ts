import { defineSearchAttributeKey } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Outcome } from './outcomes.js';
import type { Budget, Decision } from './schedule.js';

export const DELIVERY_WORKFLOW = 'delivery';

/** `delivery/<evt>/<ep>`, of a batch `delivery/<dlv>/<ep>`: one workflow per event and endpoint, whichever process starts it. */
export const deliveryWorkflowId = (eventId: string, endpointId: string): string =>
  `delivery/${eventId}/${endpointId}`;

export const ACCOUNT_ATTRIBUTE = defineSearchAttributeKey('PosthornAccount', 'KEYWORD');
export const ENDPOINT_ATTRIBUTE = defineSearchAttributeKey('PosthornEndpoint', 'KEYWORD');
export const EVENT_ATTRIBUTE = defineSearchAttributeKey('PosthornEvent', 'KEYWORD');
/** Set once a delivery has failed an attempt: an upsert costs more than a whole successful delivery. */
export const STATE_ATTRIBUTE = defineSearchAttributeKey('PosthornState', 'KEYWORD');

export const SEARCH_ATTRIBUTES = [ACCOUNT_ATTRIBUTE, ENDPOINT_ATTRIBUTE, EVENT_ATTRIBUTE, STATE_ATTRIBUTE];

export type Trigger = 'schedule' | 'manual' | 'replay' | 'test';

/** An attempt as histories hold it: no payload, secret, header value or body. */
export interface AttemptSummary {
  number: number;
  trigger: Trigger;
  /** Unix milliseconds by the clock of the worker that made it. */
  startedAtMs: number;
  durationMs: number;
  outcome: Outcome;
  statusCode?: number;
  errorCode?: string;
}

export interface DeliveryInput {
  deliveryId: string;
  eventId: string;
  endpointId: string;
  /** Absent for a fresh delivery. Present when this run goes on from the record in PostgreSQL. */
  from?: {
    attempts: AttemptSummary[];
    /** How many of `attempts` belong to earlier runs, whose retries do not count against this one. */
    budgetStart: number;
    dueInMs: number;
    trigger: Trigger;
    /** As in {@link AttemptResult}: present when a run whose history had grown too long goes on while it is put off. */
    deferred?: { slotAtMs?: number };
    /** As in {@link AttemptRequest}. */
    crowdedOut?: number;
  };
  /** The receiver is likely to take long: the first attempt is not to keep a workflow task open. */
  slow?: boolean;
}

export interface DeliveryResult {
  status: 'delivered' | 'erased';
  attempts: number;
}

export interface AttemptRequest {
  deliveryId: string;
  number: number;
  trigger: Trigger;
  /** Spent before this attempt. */
  budget: Budget;
  /** Random, -1 to 1, from the workflow. */
  jitter: number;
  /** The moment that an earlier `deferred` reserved for this attempt, unix milliseconds. */
  slotAtMs?: number;
  /** How often this attempt was put off because connections of our own crowded its host; absent for never. */
  crowdedOut?: number;
}

export type AttemptResult =
  | {
      kind: 'made';
      attempt: AttemptSummary;
      decision: Decision;
      /** Attempts that the endpoint's schedule allows in all. */
      attemptsMax: number;
      /** False when PostgreSQL could not be written in time: the workflow has it written later. */
      recorded: boolean;
    }
  /** The endpoint is paused: nothing was sent. */
  | { kind: 'held' }
  /** The endpoint's pace has no room for it yet, or its host is crowded by connections of our own: nothing was sent. */
  | {
      kind: 'deferred';
      waitMs: number;
      /** Set when that moment is reserved for this delivery, unix milliseconds. */
      slotAtMs?: number;
      /** Set when its host is crowded: how often that was so. */
      crowdedOut?: number;
    }
  /** The record says that this delivery is over: nothing was sent. */
  | {
      kind: 'ended';
      status: 'delivered' | 'failed' | 'cancelled' | 'skipped' | 'erased';
      reason: string | null;
    };

export interface RecordRequest {
  deliveryId: string;
  attempt: AttemptSummary;
  decision: Decision;
}

export interface CancelledRequest {
  deliveryId: string;
  reason: string;
  /** The workflow whose cancellation is still to be requested, so that it can end as Cancelled. */
  cancelWorkflowId: string | null;
}

/** What workflows ask of the outside. Each rejects only for failures of our own. */
export interface DeliveryActivities {
  attemptDelivery(request: AttemptRequest): Promise<AttemptResult>;
  recordAttempt(request: RecordRequest): Promise<void>;
  recordCancelled(request: CancelledRequest): Promise<void>;
}

export interface DeliveryLog {
  state: 'attempting' | 'waiting' | 'held' | 'ended';
  attempts: AttemptSummary[];
  /** Unix milliseconds, null when none is planned. */
  nextAttemptAtMs: number | null;
}

export const logQuery = defineQuery<DeliveryLog>('log');
/**
 * Cuts a backoff short. Refused with an `ApplicationFailure` whose type is the reason. `recorded` is how many attempts the
 * record has where it says that another will follow: it may be a moment ahead of the workflow.
 */
export const retryNowUpdate = defineUpdate<{ attempt: number }, [recorded: number]>('retryNow');
export const cancelSignal = defineSignal<[reason: string]>('cancel');
export const holdSignal = defineSignal('hold');
export const releaseSignal = defineSignal('release');
/** The endpoint's pace was changed: whoever waits for it asks again. */
export const paceSignal = defineSignal('pace');

/** Why `retryNow` is refused. */
export type RetryRefusal = 'attempt_in_progress' | 'delivery_held' | 'delivery_ended';

export const ENDPOINT_HEALTH_WORKFLOW = 'endpointHealth';

/** One for each endpoint in trouble. @param endpointId `ep_…` */
export const endpointHealthWorkflowId = (endpointId: string): string => `endpoint-health/${endpointId}`;

export const ENDPOINT_VERIFICATION_WORKFLOW = 'endpointVerification';

/** One for each endpoint that is to be verified. @param endpointId `ep_…` */
export const endpointVerificationWorkflowId = (endpointId: string): string =>
  `endpoint-verification/${endpointId}`;

export const ENDPOINT_CREDENTIALS_WORKFLOW = 'endpointCredentials';

/** One for each endpoint with a secret or a certificate that ends. @param endpointId `ep_…` */
export const endpointCredentialsWorkflowId = (endpointId: string): string =>
  `endpoint-credentials/${endpointId}`;

export interface EndpointWatchInput {
  endpointId: string;
}

/** Each answers in how many milliseconds it is to be asked again; null when nothing changes by time alone. */
export interface EndpointWatchActivities {
  /** Does what the endpoint's figures ask for at that moment: tells its owner, opens its circuit, tries one delivery, disables it. */
  reviewEndpoint(input: EndpointWatchInput): Promise<number | null>;
  /** Asks the endpoint's receiver once whether it wants deliveries. */
  verifyEndpoint(input: EndpointWatchInput): Promise<number | null>;
  /** Removes the endpoint's secrets whose overlap is over, and tells its owner of certificates that end. */
  tendCredentials(input: EndpointWatchInput): Promise<number | null>;
}

/** Something has changed: look now. */
export const lookSignal = defineSignal('look');

export const BATCH_WINDOW_WORKFLOW = 'batchWindow';

/** One for each window in which events are collected. @param endpointId `ep_…` @param windowId UUID */
export const batchWindowId = (endpointId: string, windowId: string): string =>
  `batch-window/${endpointId}/${windowId}`;

export interface BatchWindowInput {
  endpointId: string;
  windowId: string;
  closesInMs: number;
}

export interface BatchActivities {
  /** Sends what is collected if the window's time is over. Answers in how many milliseconds it is; null once it is closed. */
  closeWindow(input: Pick<BatchWindowInput, 'endpointId' | 'windowId'>): Promise<number | null>;
}

export const ACCOUNT_NOTIFICATIONS_WORKFLOW = 'accountNotifications';

/** One for each account with something to be told. @param accountId `acc_…` */
export const accountNotificationsWorkflowId = (accountId: string): string =>
  `account-notifications/${accountId}`;

export interface AccountNotificationsInput {
  accountId: string;
}

export interface NotificationActivities {
  /** Publishes and mails what the account has not been told of. Rejects when it is to be tried again. */
  sendNotifications(input: AccountNotificationsInput): Promise<void>;
}

/** There is something new to be told. */
export const tellSignal = defineSignal('tell');
