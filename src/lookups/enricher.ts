import { Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import type { Answer } from './answer.js';
import { contextOf } from './context.js';
import type { Lookup } from './lookup.js';
import { type Busy, LookupAnswers } from './lookup-answers.js';
import { LookupCatalogue } from './lookup-catalogue.js';
import { LookupFailures } from './lookup-failures.js';
import { renderUrl, type UrlScope, UrlTemplateError } from './url-template.js';

/** Those that found no room come back one after the other, not all at once. */
const COME_BACK_MS = { least: 1_000, most: 2_000 };

/** What is known of a delivery, or of what would be one. UUIDs. */
export interface ToEnrich {
  account_id: string;
  endpoint_id: string;
  event_id: string;
  type: string;
  version: string;
  occurred_at: Date;
  /** JSON text */
  data: string;
  tags: readonly string[] | null;
}

export type Enriched =
  | { kind: 'enriched'; /** JSON text of an object. */ context: string }
  /** Nothing is to be sent. */
  | LookupFailed
  /** There is too much to ask. */
  | { kind: 'busy'; waitMs: number };

export interface LookupFailed {
  kind: 'failed';
  code: 'lookup_failed';
  detail: string;
  durationMs: number;
}

/** Finds what is to stand beside an event's data, as part of an attempt. */
@Injectable()
export class Enricher {
  constructor(
    private readonly catalogue: LookupCatalogue,
    private readonly answers: LookupAnswers,
    private readonly failures: LookupFailures,
  ) {}

  /**
   * @param names of lookups, in the order in which they stand in the context
   * @throws for failures of ours
   */
  async enrich(names: readonly string[], event: ToEnrich): Promise<Enriched> {
    return this.run(names, event, (name, detail) => this.failures.note(name, detail));
  }

  /** The same, and nobody is told where it fails. */
  async preview(names: readonly string[], event: ToEnrich): Promise<Enriched> {
    return this.run(names, event, () => undefined);
  }

  private async run(
    names: readonly string[],
    event: ToEnrich,
    tell: (name: string, detail: string) => void,
  ): Promise<Enriched> {
    const startedAt = performance.now();
    const lookups = await Promise.all(names.map((name) => this.catalogue.get(name)));
    const scope = scopeOf(event);
    const answers = await Promise.all(
      lookups.map(async (lookup) => ({ lookup, answer: await this.ask(lookup, event.account_id, scope) })),
    );
    const found: { name: string; json: string }[] = [];
    let failed: string | undefined;
    let isBusy = false;
    for (const { lookup, answer } of answers) {
      const { name, required } = lookup;
      if (answer.kind === 'failed') {
        tell(name, answer.detail);
        if (required) failed ??= `the lookup ${name}: ${answer.detail}`;
      }
      if (answer.kind === 'busy' && required) isBusy = true;
      found.push({ name, json: answer.kind === 'found' ? answer.json : 'null' });
    }
    if (failed !== undefined) return lookupFailed(failed, performance.now() - startedAt);
    if (isBusy) return { kind: 'busy', waitMs: comeBackMs() };
    return { kind: 'enriched', context: contextOf(found) };
  }

  private ask(lookup: Lookup, accountId: string, scope: UrlScope): Promise<Answer | Busy> | Answer {
    let url: string;
    try {
      url = renderUrl(lookup.url, scope);
    } catch (error) {
      if (error instanceof UrlTemplateError) return { kind: 'failed', detail: error.message };
      throw error;
    }
    return this.answers.get(lookup, accountId, url);
  }
}

export const lookupFailed = (detail: string, durationMs: number): LookupFailed => ({
  kind: 'failed',
  code: 'lookup_failed',
  detail,
  durationMs,
});

const scopeOf = (event: ToEnrich): UrlScope => ({
  event: {
    id: toId('event', event.event_id),
    type: event.type,
    version: event.version,
    timestamp: event.occurred_at.toISOString(),
    data: JSON.parse(event.data) as unknown,
    tags: event.tags ?? [],
  },
  account: { id: toId('account', event.account_id) },
  endpoint: { id: toId('endpoint', event.endpoint_id) },
});

const comeBackMs = (): number =>
  Math.round(COME_BACK_MS.least + Math.random() * (COME_BACK_MS.most - COME_BACK_MS.least));
