import { Inject, Injectable } from '@nestjs/common';
import { type FieldError, Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { CompiledSchema } from '../json-schema/compiled-schema.js';
import { TimeLimitError, withinTime } from '../json-schema/time-limit.js';
import { Metrics } from '../metrics/metrics.js';
import { EventCatalogue } from './event-catalogue.js';
import { SchemaValidators } from './schema-validators.js';

/** For all events of one request. */
const CHECK_WITHIN_MS = 250;
const MAX_ERRORS = 50;

/** What is checked of an event that is published. */
export interface CheckedEvent {
  body: { type: string; version?: string | undefined };
  /** JSON text. */
  data: string;
  pointers: Readonly<Record<'type' | 'version' | 'data', string>>;
}

/** Compares what is published with the catalogue, where the deployment wants that. */
@Injectable()
export class PublishChecks {
  readonly mode: Settings['EVENT_VALIDATION'];

  constructor(
    private readonly catalogue: EventCatalogue,
    private readonly validators: SchemaValidators,
    private readonly metrics: Metrics,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.mode = settings.EVENT_VALIDATION;
  }

  /**
   * @returns for each event what is not as the catalogue says
   * @throws Problem `event_not_in_catalogue` when it is `strict` and there is anything, `unavailable` when it is and an event
   * cannot be compared now
   */
  async check(events: readonly CheckedEvent[]): Promise<FieldError[][]> {
    if (!events.every(({ body }) => this.catalogue.versionOf(body.type, versionOf(body)) !== undefined))
      // What another process has just registered is not to be refused.
      await this.catalogue.refresh();
    let { found, unready } = await this.compare(events);
    if (unready) {
      // Another process has just changed a schema.
      await this.catalogue.refresh();
      ({ found, unready } = await this.compare(events));
    }
    if (unready && this.mode === 'strict')
      throw new Problem('unavailable', 'The schema of this event type is not ready to be checked against.', {
        retryAfterSeconds: 1,
      });
    const differing = found.filter((errors) => errors.length > 0).length;
    if (differing === 0) return found;
    this.metrics.eventsDiffered(differing);
    if (this.mode !== 'strict') return found;
    const errors = found.flat().slice(0, MAX_ERRORS);
    const [first] = errors;
    throw new Problem('event_not_in_catalogue', `${first?.pointer ?? ''}: ${first?.detail ?? ''}`, {
      errors,
    });
  }

  /** @returns with what was found, whether a schema was not there to be compared with */
  private async compare(
    events: readonly CheckedEvent[],
  ): Promise<{ found: FieldError[][]; unready: boolean }> {
    const found: FieldError[][] = [];
    let unready = false;
    const toCheck: { event: CheckedEvent; schema: CompiledSchema; index: number }[] = [];
    for (const [index, event] of events.entries()) {
      found.push([]);
      const { body, pointers } = event;
      const published = versionOf(body);
      const versions = this.catalogue.versionsOf(body.type);
      const version = versions?.find((known) => known.version === published);
      if (!versions) found[index] = [{ pointer: pointers.type, detail: 'is no registered event type' }];
      else if (!version) {
        const detail = `\`${published}\` is no registered version of this event type`;
        found[index] = [{ pointer: pointers.version, detail }];
      } else if (version.schemaDigest !== null) {
        const schema =
          this.validators.known(version.schemaDigest) ?? (await this.validators.load(body.type, version));
        if (schema) toCheck.push({ event, schema, index });
        else {
          unready = true;
          found[index] = [{ pointer: pointers.data, detail: 'could not be checked against its schema now' }];
        }
      }
    }
    let next = 0;
    const checkAll = () => {
      for (; next < toCheck.length; next += 1) {
        const { event, schema, index } = toCheck[next] ?? neverMissing();
        found[index] = schema
          .mismatches(JSON.parse(event.data))
          .map(({ pointer, detail }) => ({ pointer: event.pointers.data + pointer, detail }));
      }
    };
    // To watch the time takes longer than most checks.
    if (toCheck.every(({ schema, event }) => toCheck.length < 10 && schema.isQuick(event.data.length))) {
      checkAll();
      return { found, unready };
    }
    try {
      withinTime(CHECK_WITHIN_MS, checkAll);
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error;
      for (const { event, index } of toCheck.slice(next))
        found[index] = [
          {
            pointer: event.pointers.data,
            detail: `could not be checked against its schema in ${CHECK_WITHIN_MS} ms`,
          },
        ];
    }
    return { found, unready };
  }
}

const versionOf = ({ version }: CheckedEvent['body']): string => version ?? '1';

function neverMissing(): never {
  throw new Error('an index leads past the end of its list');
}
