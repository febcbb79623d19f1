import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { Logger } from 'pino';
import { AccountsController } from './accounts/accounts.controller.js';
import { AccountsService } from './accounts/accounts.service.js';
import { AuditService } from './audit/audit.service.js';
import { AuthGuard } from './auth/auth.guard.js';
import type { Settings } from './config/settings.js';
import { SETTINGS_TOKEN } from './config/settings.token.js';
import { Database } from './database/database.js';
import { Maintenance } from './database/maintenance.js';
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
import { ProcessLease } from './dispatch/process-lease.js';
import { Reconciler } from './dispatch/reconciler.js';
import { EndpointSeals } from './endpoints/endpoint-seals.js';
import { EndpointsController } from './endpoints/endpoints.controller.js';
import { EndpointSecretsService } from './endpoints/endpoint-secrets.service.js';
import { EndpointsService } from './endpoints/endpoints.service.js';
import { EventTypesController } from './event-types/event-types.controller.js';
import { EventTypesService } from './event-types/event-types.service.js';
import { EventsController } from './events/events.controller.js';
import { EventsService } from './events/events.service.js';
import { FanOut } from './events/fan-out.js';
import { NewDeliveries } from './events/new-deliveries.js';
import { Publisher } from './events/publisher.js';
import { HealthController } from './health/health.controller.js';
import { Health } from './health/health.js';
import { IdempotencyInterceptor } from './http/idempotency.interceptor.js';
import { ProblemFilter } from './http/problem.filter.js';
import { SchemaPipe } from './http/schema.pipe.js';
import { AccountKeysController, OperatorKeysController } from './keys/keys.controller.js';
import { KeysService } from './keys/keys.service.js';
import { LOGGER } from './logging/logger.js';
import { Metrics } from './metrics/metrics.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { Pacer } from './pacing/pacer.js';
import { Reservations } from './pacing/reservations.js';
import { KeyRing } from './secrets/key-ring.js';
import { Temporal } from './temporal/temporal.js';
import { createWebUi, WEB_UI } from './temporal/web-ui.js';
import { EGRESS } from './transport/egress.token.js';
import type { EgressNetworks } from './transport/egress-networks.js';
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
  OperatorKeysController,
  AccountKeysController,
  EndpointsController,
  EventTypesController,
  EventsController,
  DeliveriesController,
];

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
      { provide: Transport, useFactory: () => new Transport({ allow: options.networks }) },
      { provide: EndpointSeals, useFactory: () => new EndpointSeals(options.keyRing) },
      { provide: WEB_UI, useValue: createWebUi(options.webUiUrl, options.settings.TEMPORAL_NAMESPACE) },
    ];
    const api = options.settings.ROLES.includes('api');
    return {
      module: AppModule,
      controllers: [...(api ? API_CONTROLLERS : []), HealthController, MetricsController],
      providers: [
        ...given,
        AccountsService,
        Attempter,
        AuditService,
        CancelRecorder,
        DeliveriesService,
        DeliveryStarter,
        Dispatcher,
        Engine,
        Doorbell,
        EndpointSecretsService,
        EndpointsService,
        EventTypesService,
        EventsService,
        FanOut,
        HandOver,
        Health,
        Intake,
        KeysService,
        LiveLog,
        Loader,
        Maintenance,
        Metrics,
        NewDeliveries,
        Pacer,
        ProcessLease,
        Publisher,
        Reconciler,
        Recorder,
        Reservations,
        { provide: APP_GUARD, useClass: AuthGuard },
        { provide: APP_PIPE, useClass: SchemaPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
      ],
    };
  }
}
