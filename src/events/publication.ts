import { createParamDecorator, type ExecutionContext, type PipeTransform } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type ContentMode, contentModeOf, isJson } from '../cloud-events/media-types.js';
import { attributesOfHeaders, readCloudEvent, type Reading } from '../cloud-events/read-cloud-event.js';
import { type FieldError, Problem } from '../common/problems.js';
import { refuseFields, SchemaPipe, toFieldErrors } from '../http/schema.pipe.js';
import { MAX_BATCH, type PublishBody, publishBody } from './events.schema.js';
import { rawArrayData, rawData } from './raw-data.js';

/** An event to be published. */
export interface PublishedItem {
  body: PublishBody;
  /** JSON text. */
  data: string;
  /** Where in the request these are, for what is found wrong with them later. */
  pointers: Readonly<Record<'type' | 'version' | 'data' | 'priority', string>>;
}

/** @param at pointer to an event of our own JSON */
export const pointersIn = (at: string): PublishedItem['pointers'] => ({
  type: `${at}/type`,
  version: `${at}/version`,
  data: `${at}/data`,
  priority: `${at}/priority`,
});

/** What one request publishes. */
export interface Publication {
  items: PublishedItem[];
  /** Whether it is answered with a list. */
  isBatch: boolean;
}

/** A request to publish, as it came. */
export interface Posted {
  mode: ContentMode;
  headers: FastifyRequest['headers'];
  body: unknown;
  text: string;
}

/** What a request publishes: an event in our own JSON, or CloudEvents in any of their content modes. */
export const Publishes = createParamDecorator((_: unknown, context: ExecutionContext): Posted => {
  const { headers, body, bodyText } = context.switchToHttp().getRequest<FastifyRequest>();
  return { mode: contentModeOf(headers), headers, body, text: bodyText ?? '' };
});

const pipe = new SchemaPipe();

/** Reads and checks it, with a pointer for everything that is wrong: for what headers say it is the header's name. */
export class PublicationPipe implements PipeTransform<Posted, Promise<Publication>> {
  async transform(posted: Posted): Promise<Publication> {
    switch (posted.mode) {
      case null: {
        const body = (await pipe.transform(posted.body, {
          type: 'body',
          schema: publishBody,
        })) as PublishBody;
        const data = rawData(posted.text) ?? 'null';
        return { items: [{ body, data, pointers: pointersIn('') }], isBatch: false };
      }
      case 'structured':
        return { items: [itemOf(posted.body, rawData(posted.text), '')].map(orRefuse), isBatch: false };
      case 'binary':
        return { items: [binaryItem(posted)].map(orRefuse), isBatch: false };
      case 'batch':
        return { items: batchItems(posted), isBatch: true };
    }
  }
}

function binaryItem({ headers, body, text }: Posted): PublishedItem | FieldError[] {
  const contentType = headers['content-type'];
  if (contentType !== undefined && !isJson(contentType)) throw notJson();
  const read = attributesOfHeaders(headers);
  if (!read.ok) return read.errors;
  const pointerTo = (attribute: string) => `ce-${attribute}`;
  const data = body === undefined ? 'null' : text.trim();
  return checked(readCloudEvent(read.attributes, pointerTo), data, pointerTo, '');
}

/** Data of another kind could only be passed on as if it were JSON. */
const notJson = (): Problem =>
  new Problem('unsupported_media_type', 'The data of a CloudEvent must be JSON: `application/json`.');

function batchItems({ body, text }: Posted): PublishedItem[] {
  if (!Array.isArray(body) || body.length === 0 || body.length > MAX_BATCH)
    return refuseFields([{ pointer: '', detail: `must be a list of 1 to ${MAX_BATCH} CloudEvents` }]);
  const data = rawArrayData(text);
  const read = body.map((event, index) => itemOf(event, data[index], `/${index}`));
  const errors = read.flatMap((item) => (Array.isArray(item) ? item : []));
  if (errors.length > 0) refuseFields(errors);
  return read.map(orRefuse);
}

/** @param at pointer to the event in the body */
function itemOf(event: unknown, data: string | undefined, at: string): PublishedItem | FieldError[] {
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    return [{ pointer: at, detail: 'must be a CloudEvent, as an object' }];
  const pointerTo = (attribute: string) => `${at}/${attribute.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const reading = readCloudEvent(event as Record<string, unknown>, pointerTo);
  return checked(reading, data ?? 'null', pointerTo, pointerTo('data'));
}

/** Holds what was read against what any publish is held against. */
function checked(
  reading: Reading,
  data: string,
  pointerTo: (attribute: string) => string,
  dataPointer: string,
): PublishedItem | FieldError[] {
  if (!reading.ok) return reading.errors;
  const { fields, attributeOf } = reading.event;
  const result = publishBody.safeParse({ ...fields, data: null });
  if (result.success) {
    const pointers = {
      type: pointerTo(attributeOf('type')),
      version: pointerTo(attributeOf('version')),
      data: dataPointer,
      priority: pointerTo(attributeOf('priority')),
    };
    return { body: result.data, data, pointers };
  }
  return result.error.issues.flatMap((issue) =>
    toFieldErrors(issue, (path) => pointerTo(attributeOf(path[0] ?? ''))),
  );
}

function orRefuse(item: PublishedItem | FieldError[]): PublishedItem {
  return Array.isArray(item) ? refuseFields(item) : item;
}
