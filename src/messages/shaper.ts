import { Injectable } from '@nestjs/common';
import { encodeHeaderValue } from '../cloud-events/header-values.js';
import { toJsonAttribute } from '../cloud-events/attributes.js';
import type { Chain } from '../conversions/conversion-paths.js';
import { type Conversion, type Converted, Converter } from '../conversions/converter.js';
import type { LoadedDelivery } from '../deliveries/loader.js';
import { type Enriched, Enricher, lookupFailed } from '../lookups/enricher.js';
import type { Changed } from '../transformations/change.js';
import { seenEvent } from '../transformations/program-runs.js';
import { type Step, Transformer } from '../transformations/transformer.js';

/** What is shaped: a delivery, or what would be one. */
export type ToShape = Pick<
  LoadedDelivery,
  | 'account_id'
  | 'endpoint_id'
  | 'event_id'
  | 'type'
  | 'version'
  | 'pinned_version'
  | 'occurred_at'
  | 'data'
  | 'tags'
  | 'url'
  | 'signing'
  | 'payload'
  | 'format'
  | 'lookups'
  | 'transformation_id'
>;

/** What is sent in the place of an event as it was published. */
export interface Shape extends Changed {
  /** Where it goes in another version. */
  converted: Converted | null;
  /** What stands beside the data, as JSON text; null for nothing. */
  context: string | null;
}

export type ShapeStep =
  | ({ kind: 'shaped' } & Shape)
  | Exclude<Conversion, { kind: 'converted' }>
  | Exclude<Enriched, { kind: 'enriched' }>
  | Exclude<Step, { kind: 'changed' }>;

/** In earnest, or for somebody who looks: then nobody is told where it fails. */
type How = 'shape' | 'preview';

/** Of the header that holds the context in CloudEvents' binary mode, in bytes: receivers refuse longer ones. */
const MAX_CONTEXT_HEADER = 8 * 1024;

/** Makes of a stored event what its endpoint asked for, before it gets its format. */
@Injectable()
export class Shaper {
  constructor(
    private readonly converter: Converter,
    private readonly enricher: Enricher,
    private readonly transformer: Transformer,
  ) {}

  /** The version that an event is sent in. */
  versionOf(delivery: ToShape): string {
    return this.converter.versionOf(delivery);
  }

  /** Whether what is sent depends on the event's data: a thin delivery that nothing is made of shows none of it. */
  needsData(delivery: Omit<ToShape, 'data'>): boolean {
    const { payload, transformation_id: versionId } = delivery;
    return payload !== 'thin' || versionId !== null || this.converter.chainOf(delivery) !== undefined;
  }

  /** @returns null when it is sent as it was published @throws for failures of ours */
  shape(delivery: ToShape): Promise<ShapeStep> | null {
    return this.begin(delivery, 'shape');
  }

  /** The same, and nobody is told where it fails. */
  preview(delivery: ToShape): Promise<ShapeStep> | null {
    return this.begin(delivery, 'preview');
  }

  private begin(delivery: ToShape, how: How): Promise<ShapeStep> | null {
    const chain = this.converter.chainOf(delivery);
    const lookups = lookupsOf(delivery);
    if (!chain && lookups === null && delivery.transformation_id === null) return null;
    return this.run(delivery, chain, lookups, how);
  }

  private async run(
    delivery: ToShape,
    chain: Chain | undefined,
    lookups: string[] | null,
    how: How,
  ): Promise<ShapeStep> {
    const conversion = chain && (await this.convert(delivery, chain, how));
    if (conversion && conversion.kind !== 'converted') return conversion;
    const converted = conversion ? { version: conversion.version, data: conversion.data } : null;
    const event = { ...delivery, ...converted };
    const enriched = lookups && (await this.enrich(event, lookups, how));
    if (enriched && enriched.kind !== 'enriched') return enriched;
    const context = enriched?.context ?? null;
    const step = await this.transform(event, context, how);
    if (step && step.kind !== 'changed') return step;
    const { url, headers, body } = step ?? { url: delivery.url, headers: {}, body: undefined };
    return withContext(delivery, { url, headers, body, converted }, context);
  }

  private convert(delivery: ToShape, chain: Chain, how: How): Promise<Conversion> {
    return how === 'shape'
      ? this.converter.convert(delivery, chain)
      : this.converter.preview(delivery, chain);
  }

  private enrich(event: ToShape, lookups: string[], how: How): Promise<Enriched> {
    return how === 'shape' ? this.enricher.enrich(lookups, event) : this.enricher.preview(lookups, event);
  }

  private async transform(event: ToShape, context: string | null, how: How): Promise<Step | null> {
    const { transformation_id: versionId } = event;
    if (versionId === null) return null;
    const seen = seenEvent(event, context);
    return how === 'shape'
      ? this.transformer.transform(versionId, event, seen)
      : this.transformer.preview(versionId, event, seen);
  }
}

/** A thin delivery shows nothing of the context; only a transformation may look at it. */
const lookupsOf = ({ lookups, payload, transformation_id: versionId }: ToShape): string[] | null =>
  payload === 'thin' && versionId === null ? null : lookups;

/** A body that a transformation made holds as much of the context as it wants. */
function withContext(
  { payload, format }: ToShape,
  shape: Omit<Shape, 'context'>,
  context: string | null,
): ShapeStep {
  const isShown = shape.body === undefined && payload === 'full';
  if (!isShown || context === null) return { kind: 'shaped', ...shape, context: null };
  if (format === 'cloudevents-binary') {
    const { length } = encodeHeaderValue(toJsonAttribute(context));
    if (length > MAX_CONTEXT_HEADER)
      return lookupFailed(
        `the context takes ${length} bytes of a header, which may have ${MAX_CONTEXT_HEADER}`,
        0,
      );
  }
  return { kind: 'shaped', ...shape, context };
}
