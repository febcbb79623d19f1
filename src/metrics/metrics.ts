import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Outcome } from '../../workflows/outcomes.js';

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

  private readonly published = new Counter({
    name: 'posthorn_events_published_total',
    help: 'Events committed, duplicates left out',
    registers: [this.registry],
  });

  constructor() {
    // The lag of the event loop is sampled this often, in milliseconds: by default it is a hundred times as often, which is
    // most of what an idle process would do.
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: 1_000 });
  }

  attempted(outcome: Outcome, durationMs: number): void {
    this.attempts.inc({ outcome });
    this.attemptSeconds.observe(durationMs / 1000);
  }

  firstAttempt(lane: 'durable' | 'express'): void {
    this.firstAttempts.inc({ lane });
  }

  publishedEvents(count: number): void {
    this.published.inc(count);
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
