import {
  createDeliveryActivities,
  type DeliveryActivityDependencies,
} from '../../activities/delivery.activities.js';
import { readSettings } from '../../src/config/settings.js';
import { Attempter } from '../../src/deliveries/attempter.js';
import type { LoadedDelivery } from '../../src/deliveries/loader.js';
import { EndpointSender } from '../../src/endpoints/endpoint-sender.js';
import type { EventCatalogue } from '../../src/event-types/event-catalogue.js';
import { Composer } from '../../src/messages/composer.js';
import { NO_LIMITS } from '../../src/plans/plan.js';
import type { TransportResult } from '../../src/transport/types.js';

/** Where each thing that belongs in PostgreSQL alone is marked. */
export const MARKED = {
  payload: 'marked-payload',
  url: 'marked-url-token',
  secret: Buffer.from('marked-signing-secret-of-32-byte').toString('base64'),
  requestHeader: 'marked-request-header',
  bearerToken: 'marked-bearer-token',
  responseHeader: 'marked-response-header',
  responseBody: 'marked-response-body',
  errorDetail: 'marked-error-detail',
};

export const response = (statusCode: number) => ({
  statusCode,
  headers: { 'set-cookie': MARKED.responseHeader, 'retry-after': '30' },
  body: MARKED.responseBody,
  bodyEncoding: 'utf8' as const,
  truncated: false,
});

interface Played {
  answers: readonly TransportResult[];
  /** Gets each request, as JSON. */
  sent: string[];
  /** In the place of those of the event catalogue. */
  catalogue?: Partial<Pick<EventCatalogue, 'pinOf'>>;
  /** What is loaded otherwise than of the usual delivery. */
  loads?: Partial<LoadedDelivery>;
  /** Which load fails once, for a fault of ours; null for none. */
  faultyLoad?: number | null;
}

/** The activities as they are, over a database and a network that are played. */
export function playedActivities({
  answers: given,
  sent,
  catalogue: own,
  loads: changed,
  faultyLoad = null,
}: Played) {
  const answers = given.values();
  let loads = 0;
  const played = {
    loader: {
      load: (id: string) => {
        loads += 1;
        return loads === faultyLoad
          ? Promise.reject(new Error('connection terminated'))
          : Promise.resolve({ ...loaded(id), ...changed });
      },
      end: () => Promise.resolve(),
    },
    recorder: { record: () => Promise.resolve() },
    pacer: {
      learn: () => ({}),
      of: () => ({ inOutage: false }),
      admit: () => Promise.resolve({ kind: 'go' }),
      leave: () => undefined,
      quiet: () => undefined,
      isBusy: false,
    },
    metrics: { attempted: () => undefined },
    links: {},
    seals: {
      openSecret: () => `whsec_${MARKED.secret}`,
      openHeaders: () => ({ 'x-api-key': MARKED.requestHeader }),
      openCredentials: () => ({ auth: { type: 'bearer', token: MARKED.bearerToken }, ca: null }),
    },
    transport: {
      send: (request: object) => {
        sent.push(JSON.stringify(request));
        return Promise.resolve(answers.next().value);
      },
    },
  };
  const catalogue = { pinOf: () => ({ version: null }), headersOf: () => undefined, ...own };
  const attempter = new Attempter(
    ...([
      played.loader,
      played.recorder,
      played.pacer,
      played.metrics,
      new Composer(
        ...([played.links, catalogue, readSettings({})] as unknown as ConstructorParameters<typeof Composer>),
      ),
      new EndpointSender(
        ...([played.seals, played.transport, readSettings({})] as unknown as ConstructorParameters<
          typeof EndpointSender
        >),
      ),
      { note: () => undefined },
      { known: () => ({ name: 'enterprise', limits: NO_LIMITS }) },
      catalogue,
      { delivered: () => undefined },
      { shape: () => null, versionOf: () => '1' },
      {},
      {},
      readSettings({}),
    ] as unknown as ConstructorParameters<typeof Attempter>),
  );
  const others = { onAttempt: () => undefined, loader: played.loader, recorder: played.recorder };
  return createDeliveryActivities({ ...others, attempter } as unknown as DeliveryActivityDependencies);
}

const DATA = JSON.stringify({ secret: MARKED.payload });

const loaded = (id: string): LoadedDelivery => ({
  id,
  status: 'retrying',
  status_reason: null,
  attempt_count: 0,
  next_attempt_at: null,
  account_id: '019a0000-0000-7000-8000-000000000003',
  event_id: '019a0000-0000-7000-8000-000000000000',
  type: 'invoice.paid',
  occurred_at: new Date(),
  version: '1',
  pinned_version: null,
  data: DATA,
  bytes: DATA.length,
  tags: null,
  payload: 'full',
  format: 'posthorn',
  in_batches: false,
  test: false,
  transformation_id: null,
  lookups: null,
  endpoint_id: '019a0000-0000-7000-8000-000000000001',
  url: `https://receiver.example/${MARKED.url}`,
  timeout_ms: 15_000,
  retry_schedule: 'default',
  signing: null,
  sealed_headers: null,
  held_reason: null,
  verification: 'none',
  probe: false,
  sealed_auth: Buffer.alloc(1),
  disabled: false,
  deleted: false,
  express: false,
  lease: null,
  rate_per_second: null,
  rate_burst: null,
  max_in_flight: null,
  quiet_ms: null,
  secrets: [['019a0000-0000-7000-8000-000000000002', '00'.repeat(32)]],
});
