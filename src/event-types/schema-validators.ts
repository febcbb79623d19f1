import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { CompiledSchema } from '../json-schema/compiled-schema.js';
import { LOGGER } from '../logging/logger.js';
import type { KnownVersion } from './event-catalogue.js';

const MOST = 1_000;

/** Schemas of event types as code: each is read and compiled when an event first asks for it, and kept while it is asked for. */
@Injectable()
export class SchemaValidators {
  /** By digest, those that were asked for the longest ago first. */
  private readonly compiled = new Map<string, CompiledSchema>();
  private readonly compiling = new Map<string, Promise<CompiledSchema | null>>();

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @returns undefined where it must be {@link load}ed first */
  known(digest: string): CompiledSchema | undefined {
    const compiled = this.compiled.get(digest);
    if (!compiled) return undefined;
    this.compiled.delete(digest);
    this.compiled.set(digest, compiled);
    return compiled;
  }

  /** @returns null where it is another by now, or cannot be compiled now, as it could be when it was registered */
  load(type: string, { version, schemaDigest: digest }: KnownVersion): Promise<CompiledSchema | null> {
    if (digest === null) throw new Error('a version without a schema has nothing to load');
    const underWay = this.compiling.get(digest);
    if (underWay) return underWay;
    const compiling = this.compile(type, version, digest).finally(() => this.compiling.delete(digest));
    this.compiling.set(digest, compiling);
    return compiling;
  }

  private async compile(type: string, version: string, digest: string): Promise<CompiledSchema | null> {
    const [row] = await this.database.prepared<{ schema: string }>(
      'event_type_schema',
      'SELECT schema FROM event_type_versions WHERE type = $1 AND version = $2 AND schema_digest = $3',
      [type, version, digest],
    );
    if (!row) return null;
    try {
      const compiled = CompiledSchema.compile(JSON.parse(row.schema));
      this.compiled.set(digest, compiled);
      const [oldest] = this.compiled.keys();
      if (this.compiled.size > MOST && oldest !== undefined) this.compiled.delete(oldest);
      return compiled;
    } catch (error) {
      this.logger.warn({ err: error, type, version }, 'the schema of an event type could not be compiled');
      return null;
    }
  }
}
