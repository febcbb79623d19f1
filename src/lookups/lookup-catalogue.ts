import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { KeptFresh } from '../database/kept-fresh.js';
import { LOGGER } from '../logging/logger.js';
import type { Lookup } from './lookup.js';
import { parseUrlTemplate } from './url-template.js';

/** The lookups, kept in memory: what attempts ask for costs no statement. */
@Injectable()
export class LookupCatalogue {
  private lookups = new Map<string, Lookup>();
  private readonly fresh: KeptFresh;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.fresh = new KeptFresh(() => this.read(), 'the lookups', logger);
  }

  open(): Promise<void> {
    return this.fresh.open();
  }

  close(): Promise<void> {
    return this.fresh.close();
  }

  /** @throws for one that is not there (any more): whoever reads the delivery again sees so */
  async get(name: string): Promise<Lookup> {
    const known = this.lookups.get(name);
    if (known) return known;
    // Another process may have made it just now.
    await this.refresh();
    const found = this.lookups.get(name);
    if (!found) throw new Error(`the lookup ${name} was removed a moment ago`);
    return found;
  }

  /** Reads again what may have changed: at once in this process, for whoever has changed it. */
  refresh(): Promise<void> {
    return this.fresh.refresh();
  }

  private async read(): Promise<void> {
    const rows = await this.database.prepared<LookupRow>(
      'read_lookups',
      'SELECT name, version, url, sealed_auth, timeout_ms, cache_ttl_seconds, required FROM lookups',
      [],
    );
    this.lookups = new Map(rows.map((row) => [row.name, this.known(row)]));
  }

  private known(row: LookupRow): Lookup {
    const before = this.lookups.get(row.name);
    if (before?.version === row.version) return before;
    return {
      name: row.name,
      version: row.version,
      url: parseUrlTemplate(row.url),
      sealedAuth: row.sealed_auth,
      timeoutMs: row.timeout_ms,
      cacheTtlMs: row.cache_ttl_seconds * 1000,
      required: row.required,
    };
  }
}

interface LookupRow {
  name: string;
  version: string;
  url: string;
  sealed_auth: Buffer | null;
  timeout_ms: number;
  cache_ttl_seconds: number;
  required: boolean;
}
