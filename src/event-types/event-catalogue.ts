import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { type Chain, ConversionPaths, type Edge } from '../conversions/conversion-paths.js';
import { Database } from '../database/database.js';
import { KeptFresh } from '../database/kept-fresh.js';
import { LOGGER } from '../logging/logger.js';
import { type AfterSunset, lifeHeaders, pinAt, type VersionLife } from './version-life.js';

export interface KnownVersion extends VersionLife {
  /** SHA-256 in hexadecimal; null where there is no schema. */
  schemaDigest: string | null;
  /** Of deliveries in this version. */
  headers: Readonly<Record<string, string>> | undefined;
}

/** The versions of an event type, the oldest first. */
export type KnownType = readonly KnownVersion[];

/**
 * The event types without their schemas, kept in memory: what every publish and every attempt asks for costs no statement.
 */
@Injectable()
export class EventCatalogue {
  private types = new Map<string, KnownType>();
  /** Of the types that have any. */
  private conversions = new Map<string, ConversionPaths>();
  private revision: string | null = null;
  private readonly fresh: KeptFresh;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) logger: Logger,
  ) {
    this.fresh = new KeptFresh(() => this.read(), 'the event types', logger);
  }

  open(): Promise<void> {
    return this.fresh.open();
  }

  close(): Promise<void> {
    return this.fresh.close();
  }

  /** @returns undefined for a type that is not registered */
  versionsOf(type: string): KnownType | undefined {
    return this.types.get(type);
  }

  versionOf(type: string, version: string): KnownVersion | undefined {
    return this.types.get(type)?.find((known) => known.version === version);
  }

  /**
   * The version that an endpoint wants of a type now.
   *
   * @param pinned what it has stored; null where it wants whatever is published
   * @returns null for whatever is published, `stopped` where the sunset of the version has ended its deliveries
   */
  pinOf(type: string, pinned: string | null): { version: string | null } | 'stopped' {
    if (pinned === null) return ANY;
    const versions = this.types.get(type);
    const version = versions ? pinAt(versions, pinned, Date.now()) : pinned;
    return version === null ? 'stopped' : { version };
  }

  /** Headers that a delivery in this version has beside those of every delivery. */
  headersOf(type: string, version: string): Readonly<Record<string, string>> | undefined {
    return this.versionOf(type, version)?.headers;
  }

  /** The conversions by which an event of one version becomes one of another; undefined where there is no way. */
  chain(type: string, from: string, to: string): Chain | undefined {
    return this.conversions.get(type)?.chain(from, to);
  }

  /** Reads again what may have changed: at once in this process, for whoever has changed it. */
  refresh(): Promise<void> {
    return this.fresh.refresh();
  }

  private async read(): Promise<void> {
    const [row] = await this.database.prepared<ReadRow>('read_catalogue', READ, [this.revision]);
    if (!row) throw new Error('the catalogue has no revision');
    if (row.types !== null) {
      this.types = new Map(row.types.map(({ name, versions }) => [name, versions.map(known)]));
      this.conversions = new Map(
        row.types.flatMap(({ name, conversions }) =>
          conversions === null ? [] : [[name, new ConversionPaths(conversions)]],
        ),
      );
    }
    this.revision = row.revision;
  }
}

const ANY = { version: null };

interface ReadVersion {
  version: string;
  deprecated_at_ms: number | null;
  sunset_at_ms: number | null;
  after_sunset: AfterSunset;
  digest: string | null;
}

interface ReadRow {
  revision: string;
  /** Null where nothing has changed. */
  types: { name: string; versions: ReadVersion[]; conversions: Edge[] | null }[] | null;
}

function known(row: ReadVersion): KnownVersion {
  const life: VersionLife = {
    version: row.version,
    deprecatedAtMs: row.deprecated_at_ms,
    sunsetAtMs: row.sunset_at_ms,
    afterSunset: row.after_sunset,
  };
  return { ...life, schemaDigest: row.digest, headers: lifeHeaders(life) };
}

const READ = `
  SELECT c.revision, CASE WHEN c.revision IS DISTINCT FROM $1::bigint THEN (
    SELECT coalesce(json_agg(json_build_object('name', t.name, 'versions', (
      SELECT coalesce(json_agg(json_build_object('version', v.version, 'after_sunset', v.after_sunset,
        'deprecated_at_ms', extract(epoch FROM v.deprecated_at) * 1000, 'sunset_at_ms', extract(epoch FROM v.sunset_at) * 1000,
        'digest', v.schema_digest) ORDER BY v.position), '[]')
      FROM event_type_versions v WHERE v.type = t.name), 'conversions', (
      SELECT json_agg(json_build_object('from', x.from_version, 'to', x.to_version, 'id', x.id) ORDER BY v.position)
      FROM event_type_conversions x JOIN event_type_versions v ON v.type = x.type AND v.version = x.to_version
      WHERE x.type = t.name))), '[]')
    FROM event_types t) END AS types
  FROM event_catalogue c`;
