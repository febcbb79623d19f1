import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Runtime, type WorkflowBundleOption } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createBatchActivities } from '../activities/batch.activities.js';
import { createDeliveryActivities } from '../activities/delivery.activities.js';
import { createEndpointWatchActivities } from '../activities/endpoint-watch.activities.js';
import { createNotificationActivities } from '../activities/notification.activities.js';
import { AppModule } from './app.module.js';
import { BatchCollector } from './batches/batch-collector.js';
import { SETTINGS_TOKEN } from './config/settings.token.js';
import type { Settings } from './config/settings.js';
import { Database } from './database/database.js';
import { Maintenance } from './database/maintenance.js';
import { Attempter } from './deliveries/attempter.js';
import { CancelRecorder } from './deliveries/cancel-recorder.js';
import { HOT_LOAD, Loader } from './deliveries/loader.js';
import { HOT_RECORD, Recorder } from './deliveries/recorder.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import { Doorbell } from './dispatch/doorbell.js';
import { HandOver } from './dispatch/hand-over.js';
import { Intake } from './dispatch/intake.js';
import { Overflow } from './dispatch/overflow.js';
import { ProcessLease } from './dispatch/process-lease.js';
import { Backlog } from './endpoints/backlog.js';
import { Reconciler } from './dispatch/reconciler.js';
import { ConversionFailures } from './conversions/conversion-failures.js';
import { CredentialExpiry } from './credentials/credential-expiry.js';
import { EndpointHealthService } from './endpoint-health/endpoint-health.service.js';
import { EndpointOutcomes } from './endpoint-health/endpoint-outcomes.js';
import { EventCatalogue } from './event-types/event-catalogue.js';
import { EventTypeUsage } from './event-types/event-type-usage.js';
import { FanOut } from './events/fan-out.js';
import { HOT_PUBLISH } from './events/publish-statements.js';
import { Publisher } from './events/publisher.js';
import { AccountFilters } from './filters/account-filters.js';
import { Health } from './health/health.js';
import { refuseUnreadable } from './http/client-errors.js';
import { Authenticator } from './auth/authenticator.js';
import { readJsonBodies } from './http/json-body.js';
import { LARGE_BYTES, LargeBodies } from './http/large-bodies.js';
import { serveApiDocs } from './http/openapi.js';
import { refuseOtherMethods } from './http/other-methods.js';
import { sendProblem } from './http/problem.filter.js';
import { securityHeaders } from './http/security-headers.js';
import { NestLogger } from './logging/logger.js';
import { temporalLogger } from './logging/temporal-logger.js';
import { LookupCatalogue } from './lookups/lookup-catalogue.js';
import { EndpointWarnings } from './notifications/endpoint-warnings.js';
import { LookupFailures } from './lookups/lookup-failures.js';
import { Metrics } from './metrics/metrics.js';
import { Notifier } from './notifications/notifier.js';
import { Pacer } from './pacing/pacer.js';
import { AccountPlans } from './plans/account-plans.js';
import { PublishAllowances } from './plans/publish-allowances.js';
import { KeyRing } from './secrets/key-ring.js';
import { CUT_OFF_AFTER_MS, DeliveryWorker } from './temporal/delivery-worker.js';
import { Temporal } from './temporal/temporal.js';
import { WatchSweeper } from './temporal/watch-sweeper.js';
import { EndpointVerificationService } from './verification/endpoint-verification.service.js';
import { Sandbox } from './transformations/sandbox.js';
import { parseEgressNetworks } from './transport/egress-networks.js';
import { Transport } from './transport/transport.js';

export interface PosthornOptions {
  settings: Settings;
  logger: Logger;
  databaseUrl: string;
  temporalAddress: string;
  /** Base of Temporal's Web UI, null where none is known. */
  webUiUrl: string | null;
  encryptionKeys: string;
  egressAllow: string;
  workflowBundle: WorkflowBundleOption;
}

/** JSON around an event's data: names, ids, tags. */
const ENVELOPE_BYTES = 16 * 1024;
/** Code of 64 KiB whose every byte is escaped in JSON, and an event's names beside it. */
const TRANSFORMATION_BYTES = 6 * 64 * 1024 + ENVELOPE_BYTES;
const BATCH_BYTES = 16 * 1024 * 1024;
const CATALOGUE_BYTES = 4 * 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
/** For the whole request to arrive, so that a caller who dawdles holds no connection for ever. */
const REQUEST_TIMEOUT_MS = 60_000;
/** At a stop: what callers get to send the rest of a request in, and we to answer it. */
const ANSWERED_WITHIN_MS = 5_000;
/** At a stop: a connection is closed so soon after its last answer. */
const IDLE_EVERY_MS = 250;

/** One running process: the API, the worker, or both. */
export class Posthorn {
  private constructor(
    private readonly app: NestFastifyApplication,
    private readonly database: Database,
    private readonly temporal: Temporal,
    private readonly worker: DeliveryWorker | null,
  ) {}

  /** Migrates the database, connects and listens. Temporal need not be there yet; the database must. */
  static async start(options: PosthornOptions): Promise<Posthorn> {
    const posthorn = await Posthorn.create(options);
    try {
      await posthorn.open(options.settings);
      return posthorn;
    } catch (error) {
      await posthorn.stop();
      throw error;
    }
  }

  private static async create(options: PosthornOptions): Promise<Posthorn> {
    const { settings, logger, webUiUrl } = options;
    const keyRing = new KeyRing(options.encryptionKeys);
    const networks = parseEgressNetworks(options.egressAllow);
    const database = new Database(options.databaseUrl, settings.DATABASE_POOL);
    await database.open();
    const temporal = new Temporal(settings, options.temporalAddress, logger);
    try {
      await database.migrate();
      temporal.open();
      const app = await createApp({ settings, logger, database, temporal, keyRing, networks, webUiUrl });
      const worker = settings.ROLES.includes('worker') ? createWorker(app, options) : null;
      return new Posthorn(app, database, temporal, worker);
    } catch (error) {
      await temporal.close();
      await database.close();
      throw error;
    }
  }

  /** Work first, then requests: what is published right away finds a worker. */
  private async open({ PORT: port, HOST: host }: Settings): Promise<void> {
    await this.app.get(AccountPlans).open();
    await this.app.get(EventCatalogue).open();
    await this.app.get(LookupCatalogue).open();
    this.app.get(PublishAllowances).open();
    if (this.worker) {
      await this.app.get(Dispatcher).open();
      this.worker.open();
      this.app.get(Intake).open();
      this.app.get(Overflow).open();
      this.app.get(BatchCollector).open();
    }
    await this.app.listen(port, host);
    // In its own time: whoever comes first plans for itself.
    void this.database.warmUp([HOT_PUBLISH, HOT_LOAD, HOT_RECORD]);
    this.app.get(FanOut).open();
    this.app.get(EndpointOutcomes).open();
    this.app.get(EventTypeUsage).open();
    this.app.get(WatchSweeper).open();
    this.app.get(Reconciler).open();
    this.app.get(Backlog).open();
    this.app.get(Maintenance).open();
  }

  get port(): number {
    return (this.app.getHttpServer().address() as AddressInfo).port;
  }

  /** Something of the application, by its class. */
  get<T>(type: new (...parameters: never[]) => T): T {
    return this.app.get<T>(type);
  }

  /** In order: HTTP is drained, attempts in every lane are drained within the grace period, what was learned is written and what is left
   * given to others, then all is closed. */
  async stop(): Promise<void> {
    this.app.get(Health).stop();
    await this.closeHttp();
    await this.app.get(Publisher).drained();
    await this.app.get(AccountFilters).close();
    await this.app.get(FanOut).close();
    await this.app.get(BatchCollector).close();
    await this.app.get(Overflow).close();
    await this.app.get(Intake).close();
    const graceMs = this.app.get<Settings>(SETTINGS_TOKEN).SHUTDOWN_SECONDS * 1000 + CUT_OFF_AFTER_MS;
    await Promise.all([this.app.get(Dispatcher).close(graceMs), this.worker?.close()]);
    await this.app.get(Recorder).drained();
    await this.app.get(ProcessLease).close();
    await this.app.get(Backlog).close();
    await this.app.get(Reconciler).close();
    await this.app.get(Maintenance).close();
    await this.app.get(EndpointOutcomes).close();
    await this.app.get(EventTypeUsage).close();
    await this.app.get(EndpointWarnings).close();
    await this.app.get(ConversionFailures).close();
    await this.app.get(LookupFailures).close();
    await this.app.get(Sandbox).close();
    await this.app.get(WatchSweeper).close();
    await this.app.get(PublishAllowances).close();
    await this.app.get(AccountPlans).close();
    await this.app.get(EventCatalogue).close();
    await this.app.get(LookupCatalogue).close();
    await this.app.get(Doorbell).close();
    await this.app.get(Transport).close();
    await this.temporal.close();
    await this.database.close();
  }

  /** Requests under way are answered. Connections that have sent nothing, or half a request, are never idle by themselves. */
  private async closeHttp(): Promise<void> {
    const server = this.app.getHttpServer();
    const idle = setInterval(() => server.closeIdleConnections(), IDLE_EVERY_MS);
    const late = setTimeout(() => server.closeAllConnections(), ANSWERED_WITHIN_MS);
    try {
      await this.app.close();
    } finally {
      clearInterval(idle);
      clearTimeout(late);
    }
  }
}

function createWorker(
  app: NestFastifyApplication,
  { settings, logger, workflowBundle }: PosthornOptions,
): DeliveryWorker {
  const dispatcher = app.get(Dispatcher);
  const deliveryActivities = createDeliveryActivities({
    onAttempt: (deliveryId) => dispatcher.attempting(deliveryId),
    attempter: app.get(Attempter),
    loader: app.get(Loader),
    recorder: app.get(Recorder),
    cancelRecorder: app.get(CancelRecorder),
  });
  const activities = {
    ...deliveryActivities,
    ...createEndpointWatchActivities(
      app.get(EndpointHealthService),
      app.get(EndpointVerificationService),
      app.get(CredentialExpiry),
    ),
    ...createNotificationActivities(app.get(Notifier)),
    ...createBatchActivities(app.get(BatchCollector)),
  };
  return new DeliveryWorker(app.get(Temporal), activities, workflowBundle, settings, logger);
}

/** The HTTP application, not yet listening. */
export async function createApp(
  options: Parameters<typeof AppModule.for>[0],
): Promise<NestFastifyApplication> {
  const { settings } = options;
  const adapter = new FastifyAdapter({
    bodyLimit: settings.EVENT_BYTES + ENVELOPE_BYTES,
    genReqId: () => randomUUID(),
    forceCloseConnections: 'idle',
    trustProxy: settings.TRUSTED_PROXIES ?? false,
    // Node refuses longer request lines itself, so that an id of any length is one that does not exist.
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    http: { maxHeaderSize: MAX_HEADER_BYTES },
    requestTimeout: REQUEST_TIMEOUT_MS,
    clientErrorHandler: refuseUnreadable,
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(error, request, reply, options.logger),
  });
  const server = adapter.getInstance();
  const batchBytes = Math.max(BATCH_BYTES, settings.EVENT_BYTES + ENVELOPE_BYTES);
  const refuseOthers = refuseOtherMethods(server);
  server.addHook('onRoute', (route) => {
    if (route.config?.isPublic === true) route.bodyLimit = LARGE_BYTES - 1;
    if (route.url.endsWith('/events/batch')) route.bodyLimit = batchBytes;
    if (route.url.startsWith('/v1/event-types')) route.bodyLimit = CATALOGUE_BYTES;
    if (route.url.includes('/transformation')) route.bodyLimit = settings.EVENT_BYTES + TRANSFORMATION_BYTES;
  });
  const headers = securityHeaders();
  server.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headers).header('x-request-id', request.id);
    done();
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.for(options), adapter, {
    bodyParser: false,
    logger: new NestLogger(options.logger),
  });
  readJsonBodies(
    server,
    { path: '/v1/accounts/:account/events', batchBytes },
    new LargeBodies((request) => app.get(Authenticator).identify(request)),
  );
  if (settings.ROLES.includes('api')) serveApiDocs(app, server);
  await app.init();
  refuseOthers();
  const metrics = app.get(Metrics);
  metrics.watch(
    'posthorn_dispatch_backlog',
    'Deliveries waiting in this process to be started',
    () => app.get(Dispatcher).backlog,
  );
  metrics.watch(
    'posthorn_attempts_in_flight',
    'Attempts under way in this process',
    () => app.get(Pacer).inFlight,
  );
  metrics.watch(
    'posthorn_hand_over_backlog',
    'Deliveries whose express attempt did not finish them, waiting in this process for their workflow',
    () => app.get(HandOver).waiting,
  );
  return app;
}

/** Once a process, before any connection: signals are ours to handle, and core logs go where the others go. */
export function installTemporalRuntime(logger: Logger): void {
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(logger),
    telemetryOptions: {
      logging: { filter: 'temporalio_sdk_core=WARN,temporalio_client=ERROR', forward: {} },
    },
  });
}
