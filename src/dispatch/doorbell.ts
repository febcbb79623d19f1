import { Inject, Injectable } from '@nestjs/common';
import pg from 'pg';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';

const CHANNEL = 'posthorn_due';
/** A commit that notifies waits for every other one that does, so the bell is rung beside commits, and not for each. */
const RING_EVERY_MS = 20;
const LISTEN_AGAIN_MS = 1_000;

/** Tells other processes that something has become due, so that they need not wait for their next look. */
@Injectable()
export class Doorbell {
  private client: pg.Client | undefined;
  private readonly listeners: (() => void)[] = [];
  private closed = false;
  private retry: NodeJS.Timeout | undefined;
  private ringing: NodeJS.Timeout | undefined;
  private rungAtMs = 0;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Best effort: whoever hears nothing looks every second anyway. */
  ring(): void {
    if (this.ringing) return;
    const inMs = Math.max(0, this.rungAtMs + RING_EVERY_MS - performance.now());
    this.ringing = setTimeout(() => {
      this.ringing = undefined;
      this.rungAtMs = performance.now();
      this.database.prepared('ring', `SELECT pg_notify('${CHANNEL}', '')`, []).catch(() => undefined);
    }, inMs);
  }

  /** Listens until closed, whatever becomes of the connection. */
  listen(heard: () => void): void {
    this.listeners.push(heard);
    if (this.listeners.length === 1) void this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.ringing);
    await this.client?.end().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    try {
      const client = new pg.Client({
        connectionString: this.database.url,
        application_name: 'posthorn doorbell',
        keepAlive: true,
        connectionTimeoutMillis: 5_000,
      });
      this.client = client;
      client.on('notification', () => this.heard());
      client.on('error', (error) => this.logger.debug({ err: error }, 'the doorbell was cut'));
      client.on('end', () => this.again());
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.heard();
    } catch {
      await this.client?.end().catch(() => undefined);
      this.again();
    }
  }

  private heard(): void {
    for (const heard of this.listeners) heard();
  }

  private again(): void {
    if (this.closed) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.connect(), LISTEN_AGAIN_MS);
  }
}
