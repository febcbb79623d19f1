import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BATCH_TYPE, isJson, mediaTypeOf, STRUCTURED_TYPE } from '../cloud-events/media-types.js';
import { Problem } from '../common/problems.js';
import { LargeBodies } from './large-bodies.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

declare module 'fastify' {
  interface FastifyRequest {
    /** Where it is not the route's. */
    bodyLimitBytes?: number;
  }
}

export interface EventBodies {
  /** Of the route that takes CloudEvents too. */
  path: string;
  /** How large a batch of them may be. */
  batchBytes: number;
}

type Parser = (
  request: FastifyRequest,
  body: Buffer,
  done: (error: Error | null, body?: unknown) => void,
) => void;

/**
 * Reads JSON bodies, and nothing else: every other type answers 415. The text is kept beside the value, for data that
 * is passed on byte for byte and for fingerprints.
 */
export function readJsonBodies(server: FastifyInstance, events: EventBodies, large: LargeBodies): void {
  const parse: Parser = (request, body, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    large.read(request, body, () => {
      try {
        // A byte order mark is no JSON (RFC 8259 §8.1), and TextDecoder drops it, as the section allows.
        const text = utf8.decode(body);
        request.bodyText = text;
        done(null, JSON.parse(text));
      } catch {
        done(new Problem('malformed_json', 'The body is not one JSON value in UTF-8.'));
      }
    });
  };
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, parse);
  server.addContentTypeParser(
    BATCH_TYPE,
    { parseAs: 'buffer', bodyLimit: events.batchBytes },
    (request, body: Buffer, done) => {
      parse(request, body, done);
    },
  );
  // Types of which the events alone know what to make: see below.
  server.addContentTypeParser(/^application\/[\w.!#$&^-]+\+json(;|$)/i, { parseAs: 'buffer' }, parse);
  server.addHook('preParsing', (request, reply, _payload, done) => {
    const type = mediaTypeOf(request.headers['content-type']);
    const isOther = type !== 'application/json' && isJson(type);
    if (type === BATCH_TYPE) request.bodyLimitBytes = events.batchBytes;
    const isTaken = type === STRUCTURED_TYPE || type === BATCH_TYPE || 'ce-specversion' in request.headers;
    const isRefused = isOther && !request.is404 && !(request.routeOptions.url === events.path && isTaken);
    const largeBytes = LargeBodies.bytesOf(request);
    if (isRefused)
      done(new Problem('unsupported_media_type', 'Send the body as `Content-Type: application/json`.'));
    else if (largeBytes === null) done();
    else
      large.admit(request, reply, largeBytes).then(
        () => done(),
        (error: unknown) => done(error as Error),
      );
  });
}
