import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AccountsController } from './accounts/accounts.controller.js';
import { AccountsService } from './accounts/accounts.service.js';
import { AccountAuditController, AuditController } from './audit/audit.controller.js';
import { AuditService } from './audit/audit.service.js';
import { AuthGuard } from './auth/auth.guard.js';
import { Authenticator } from './auth/authenticator.js';
import { CredentialChecks } from './auth/credential-checks.js';
import { OidcTokens } from './auth/oidc-tokens.js';
import { BatchCollector } from './batches/batch-collector.js';
import { BatchContents } from './batches/batch-contents.js';
import { BatchResults } from './batches/batch-results.js';
import { BatchSealer } from './batches/batch-sealer.js';
import { BatchWindows } from './batches/batch-windows.js';
import type { Settings } from './config/settings.js';
import { SETTINGS_TOKEN } from './config/settings.token.js';
import { ConversionFailures } from './conversions/conversion-failures.js';
import { ConversionTrials } from './conversions/conversion-trials.js';
import { ConvertedEvents } from './conversions/converted-events.js';
import { ConversionsController } from './conversions/conversions.controller.js';
import { ConversionsService } from './conversions/conversions.service.js';
import { Converter } from './conversions/converter.js';
import { CredentialExpiry } from './credentials/credential-expiry.js';
import { Database } from './database/database.js';
import { Maintenance } from './database/maintenance.js';
import { Retention } from './database/retention.js';
import { Attempter } from './deliveries/attempter.js';
import { CancelRecorder } from './deliveries/cancel-recorder.js';
import { DeliveriesController } from './deliveries/deliveries.controller.js';
import { DeliveriesService } from './deliveries/deliveries.service.js';
import { LiveLog } from './deliveries/live-log.js';
import { Loader } from './deliveries/loader.js';
import { Recorder } from './deliveries/recorder.js';
import { DeliveryStarter } from './dispatch/delivery-starter.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import { Engine } from './dispatch/engine.js';
import { Doorbell } from './dispatch/doorbell.js';
import { HandOver } from './dispatch/hand-over.js';
import { Intake } from './dispatch/intake.js';
import { Overflow } from './dispatch/overflow.js';
import { ProcessLease } from './dispatch/process-lease.js';
import { Reconciler } from './dispatch/reconciler.js';
import { EndpointHealthController } from './endpoint-health/endpoint-health.controller.js';
import { EndpointHealthService } from './endpoint-health/endpoint-health.service.js';
import { Reenabling } from './endpoint-health/reenabling.js';
import { EndpointOutcomes } from './endpoint-health/endpoint-outcomes.js';
import { EndpointCredentialsService } from './endpoints/endpoint-credentials.service.js';
import { EgressController } from './egress/egress.controller.js';
import { EgressService } from './egress/egress.service.js';
import { EndpointSeals } from './endpoints/endpoint-seals.js';
import { AskRoom } from './endpoints/ask-room.js';
import { Backlog } from './endpoints/backlog.js';
import { EndpointsController } from './endpoints/endpoints.controller.js';
import { EndpointSecretsService } from './endpoints/endpoint-secrets.service.js';
import { EndpointViews } from './endpoints/endpoint-views.js';
import { EndpointsService } from './endpoints/endpoints.service.js';
import { EventCatalogue } from './event-types/event-catalogue.js';
import { EventTypeDocumentsService } from './event-types/event-type-documents.service.js';
import { EventTypeUsage } from './event-types/event-type-usage.js';
import { EventTypesController } from './event-types/event-types.controller.js';
import { EventTypesService } from './event-types/event-types.service.js';
import { PublishChecks } from './event-types/publish-checks.js';
import { SchemaValidators } from './event-types/schema-validators.js';
import { VersionSunsets } from './event-types/version-sunsets.js';
import { EventsController } from './events/events.controller.js';
import { EventsService } from './events/events.service.js';
import { FanOut } from './events/fan-out.js';
import { NewDeliveries } from './events/new-deliveries.js';
import { Publisher } from './events/publisher.js';
import { FetchController } from './fetch-links/fetch.controller.js';
import { FetchLinks } from './fetch-links/fetch-links.js';
import { FetchService } from './fetch-links/fetch.service.js';
import { AccountFilters } from './filters/account-filters.js';
import { HealthController } from './health/health.controller.js';
import { Health } from './health/health.js';
import { IdempotencyInterceptor } from './http/idempotency.interceptor.js';
import { ProblemFilter } from './http/problem.filter.js';
import { SchemaPipe } from './http/schema.pipe.js';
import { AccountKeysController, OperatorKeysController } from './keys/keys.controller.js';
import { KeysService } from './keys/keys.service.js';
import { LOGGER } from './logging/logger.js';
import { Enricher } from './lookups/enricher.js';
import { LookupAnswers } from './lookups/lookup-answers.js';
import { LookupCatalogue } from './lookups/lookup-catalogue.js';
import { LookupFailures } from './lookups/lookup-failures.js';
import { LookupSeals } from './lookups/lookup-seals.js';
import { LookupsController } from './lookups/lookups.controller.js';
import { LookupsService } from './lookups/lookups.service.js';
import { Composer } from './messages/composer.js';
import { Shaper } from './messages/shaper.js';
import { Metrics } from './metrics/metrics.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { EndpointWarnings } from './notifications/endpoint-warnings.js';
import { Mailer } from './notifications/mailer.js';
import { NotificationsController } from './notifications/notifications.controller.js';
import { NotificationsService } from './notifications/notifications.service.js';
import { Notifier } from './notifications/notifier.js';
import { EndpointSender } from './endpoints/endpoint-sender.js';
import { EndpointWatches } from './temporal/endpoint-watches.js';
import { EndpointVerificationService } from './verification/endpoint-verification.service.js';
import { HandshakeController, VerificationController } from './verification/verification.controller.js';
import { WatchSweeper } from './temporal/watch-sweeper.js';
import { AccountPlans } from './plans/account-plans.js';
import { EndpointAdmission } from './plans/endpoint-admission.js';
import { LimitWarnings } from './plans/limit-warnings.js';
import { AccountLimitsController, PlansController } from './plans/plans.controller.js';
import { PlansService } from './plans/plans.service.js';
import { PublishAllowances } from './plans/publish-allowances.js';
import { Pacer } from './pacing/pacer.js';
import { Reservations } from './pacing/reservations.js';
import { PortalController, PortalTokensController } from './portal-tokens/portal-tokens.controller.js';
import { PortalTokensService } from './portal-tokens/portal-tokens.service.js';
import { PreviewController } from './preview/preview.controller.js';
import { PreviewService } from './preview/preview.service.js';
import { KeyRing } from './secrets/key-ring.js';
import { Reencryption } from './secrets/reencryption.js';
import { Temporal } from './temporal/temporal.js';
import { createWebUi, WEB_UI } from './temporal/web-ui.js';
import { TestEventsController } from './test-events/test-events.controller.js';
import { TestEventsService } from './test-events/test-events.service.js';
import { EGRESS } from './transport/egress.token.js';
import type { EgressNetworks } from './transport/egress-networks.js';
import { namesAreTheProxys, parseEgressProxy } from './transport/egress-proxy.js';
import { ProgramRuns } from './transformations/program-runs.js';
import { Sandbox } from './transformations/sandbox.js';
import { TransformationTests } from './transformations/transformation-tests.js';
import { TransformationsController } from './transformations/transformations.controller.js';
import { TransformationsService } from './transformations/transformations.service.js';
import { Transformer } from './transformations/transformer.js';
import { Transport } from './transport/transport.js';

/** What the process around the application has found or made. */
export interface AppOptions {
  settings: Settings;
  logger: Logger;
  database: Database;
  temporal: Temporal;
  keyRing: KeyRing;
  networks: EgressNetworks;
  webUiUrl: string | null;
}

const API_CONTROLLERS = [
  AccountsController,
  AccountLimitsController,
  PlansController,
  OperatorKeysController,
  AccountKeysController,
  PortalTokensController,
  PortalController,
  EndpointsController,
  EndpointHealthController,
  PreviewController,
  VerificationController,
  HandshakeController,
  TestEventsController,
  FetchController,
  TransformationsController,
  NotificationsController,
  EventTypesController,
  ConversionsController,
  LookupsController,
  EventsController,
  DeliveriesController,
  AuditController,
  AccountAuditController,
  EgressController,
];

function transportOf({ networks, settings }: AppOptions): Transport {
  const { EGRESS_PROXY: proxy } = settings;
  return new Transport({
    allow: networks,
    crowd: settings.HOST_CROWD,
    proxyResolves: namesAreTheProxys(settings),
    ...(proxy === undefined ? {} : { proxy: parseEgressProxy(proxy) }),
  });
}

@Module({})
export class AppModule {
  static for(options: AppOptions): DynamicModule {
    const given: Provider[] = [
      { provide: SETTINGS_TOKEN, useValue: options.settings },
      { provide: LOGGER, useValue: options.logger },
      { provide: Database, useValue: options.database },
      { provide: Temporal, useValue: options.temporal },
      { provide: KeyRing, useValue: options.keyRing },
      { provide: EGRESS, useValue: options.networks },
      { provide: Transport, useFactory: () => transportOf(options) },
      { provide: EndpointSeals, useFactory: () => new EndpointSeals(options.keyRing) },
      { provide: WEB_UI, useValue: createWebUi(options.webUiUrl, options.settings.TEMPORAL_NAMESPACE) },
    ];
    const api = options.settings.ROLES.includes('api');
    return {
      module: AppModule,
      controllers: [...(api ? API_CONTROLLERS : []), HealthController, MetricsController],
      providers: [
        ...given,
        AccountFilters,
        AccountPlans,
        AccountsService,
        Attempter,
        AskRoom,
        AuditService,
        Authenticator,
        Backlog,
        BatchCollector,
        BatchContents,
        BatchResults,
        BatchSealer,
        BatchWindows,
        CancelRecorder,
        Composer,
        ConversionFailures,
        ConversionTrials,
        ConversionsService,
        Converter,
        ConvertedEvents,
        Shaper,
        CredentialChecks,
        CredentialExpiry,
        DeliveriesService,
        DeliveryStarter,
        Dispatcher,
        Engine,
        Doorbell,
        EndpointAdmission,
        EndpointHealthService,
        EndpointOutcomes,
        EndpointCredentialsService,
        EgressService,
        EndpointSecretsService,
        EndpointSender,
        EndpointVerificationService,
        EndpointViews,
        EndpointWatches,
        WatchSweeper,
        EndpointsService,
        Enricher,
        EventCatalogue,
        EventTypeDocumentsService,
        EventTypeUsage,
        EventTypesService,
        EventsService,
        FanOut,
        FetchLinks,
        FetchService,
        HandOver,
        Health,
        Intake,
        KeysService,
        LimitWarnings,
        LiveLog,
        Loader,
        LookupAnswers,
        LookupCatalogue,
        LookupFailures,
        LookupSeals,
        LookupsService,
        Mailer,
        Maintenance,
        Metrics,
        NewDeliveries,
        NotificationsService,
        Notifier,
        OidcTokens,
        Overflow,
        Pacer,
        PortalTokensService,
        PlansService,
        PreviewService,
        ProcessLease,
        ProgramRuns,
        PublishAllowances,
        PublishChecks,
        Publisher,
        Reconciler,
        Recorder,
        Reenabling,
        Reencryption,
        Retention,
        Reservations,
        TestEventsService,
        SchemaValidators,
        VersionSunsets,
        Sandbox,
        EndpointWarnings,
        TransformationTests,
        TransformationsService,
        Transformer,
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_PIPE, useClass: SchemaPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
      ],
    };
  }
}
