import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Outcome } from '../../workflows/outcomes.js';
import type { LimitName } from '../plans/plans.schema.js';

/** What Prometheus scrapes. Labels are from fixed sets only: no customer's name ever becomes one. */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  private readonly attempts = new Counter({
    name: 'posthorn_attempts_total',
    help: 'Attempts made, by outcome',
    labelNames: ['outcome'],
    registers: [this.registry],
  });

  private readonly attemptSeconds = new Histogram({
    name: 'posthorn_attempt_duration_seconds',
    help: 'Time from sending an attempt to the end of its answer',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.registry],
  });

  private readonly firstAttempts = new Counter({
    name: 'posthorn_first_attempts_total',
    help: 'First attempts, by the way they went: with a workflow from the start (durable) or without (express)',
    labelNames: ['lane'],
    registers: [this.registry],
  });

  private readonly putOff = new Counter({
    name: 'posthorn_attempts_crowded_out_total',
    help: 'Attempts put off, and not counted, because connections of our own crowded their host',
    registers: [this.registry],
  });

  private readonly withoutRoom = new Counter({
    name: 'posthorn_attempts_without_room_total',
    help: 'Attempts put off, and not counted, because as many large events of their account or endpoint were being sent',
    registers: [this.registry],
  });

  private readonly published = new Counter({
    name: 'posthorn_events_published_total',
    help: 'Events committed, duplicates left out',
    registers: [this.registry],
  });

  private readonly broken = new Counter({
    name: 'posthorn_filter_errors_total',
    help: 'Deliveries that failed before they were sent, because the filter of their endpoint failed',
    registers: [this.registry],
  });

  private readonly refused = new Counter({
    name: 'posthorn_publishes_refused_total',
    help: "Requests to publish that were refused, by the limit of the account's plan that they met",
    labelNames: ['limit'],
    registers: [this.registry],
  });

  private readonly differed = new Counter({
    name: 'posthorn_events_not_in_catalogue_total',
    help: 'Events that were not as the catalogue of event types says, taken or refused',
    registers: [this.registry],
  });

  private readonly lookups = new Counter({
    name: 'posthorn_lookups_total',
    help: 'What lookups came to: found, failed, or kept from before and not asked for',
    labelNames: ['result'],
    registers: [this.registry],
  });

  constructor() {
    // The lag of the event loop is sampled this often, in milliseconds: by default it is a hundred times as often, which is
    // most of what an idle process would do.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 1_000 });
  }

  attempted(outcome: Outcome, durationMs: number): void {
    this.attempts.inc({ outcome });
    if (outcome !== 'transform') this.attemptSeconds.observe(durationMs / 1000);
  }

  crowdedOut(): void {
    this.putOff.inc();
  }

  foundNoRoom(): void {
    this.withoutRoom.inc();
  }

  firstAttempt(lane: 'durable' | 'express'): void {
    this.firstAttempts.inc({ lane });
  }

  /** @param count of endpoints whose filter failed for an event */
  filtersBroken(count: number): void {
    this.broken.inc(count);
  }

  publishedEvents(count: number): void {
    this.published.inc(count);
  }

  publishRefused(limit: LimitName): void {
    this.refused.inc({ limit });
  }

  eventsDiffered(count: number): void {
    this.differed.inc(count);
  }

  lookedUp(result: 'found' | 'failed' | 'kept'): void {
    this.lookups.inc({ result });
  }

  /** Shows a figure that something else keeps. */
  watch(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }
}
