import type { FastifyInstance, FastifyRequest } from 'fastify';
import { BATCH_TYPE, isJson, mediaTypeOf, STRUCTURED_TYPE } from '../cloud-events/media-types.js';
import { Problem } from '../common/problems.js';
import { BodyTurns } from './body-turns.js';

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

/** Bodies from here on are read one after another: what comes with one event alone is not to wait for many of them. */
const LARGE_BYTES = 16 * 1024;

type Parser = (
  request: FastifyRequest,
  body: Buffer,
  done: (error: Error | null, body?: unknown) => void,
) => void;

/**
 * Reads JSON bodies, and nothing else: every other type answers 415. The text is kept beside the value, for data that
 * is passed on byte for byte and for fingerprints.
 */
export function readJsonBodies(server: FastifyInstance, events: EventBodies): void {
  const large = new BodyTurns();
  const parse: Parser = (request, body, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    const read = () => {
      try {
        // A byte order mark is no JSON (RFC 8259 §8.1), and TextDecoder drops it, as the section allows.
        const text = utf8.decode(body);
        request.bodyText = text;
        done(null, JSON.parse(text));
      } catch {
        done(new Problem('malformed_json', 'The body is not one JSON value in UTF-8.'));
      }
    };
    if (body.length < LARGE_BYTES) read();
    // Who shows nothing to be known by is refused whatever the body says.
    else if (request.headers.authorization === undefined) done(null, undefined);
    else if (!large.add(body.length, read))
      done(
        new Problem('unavailable', 'More large bodies wait to be read than this process takes.', {
          retryAfterSeconds: 1,
        }),
      );
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
  server.addHook('preParsing', (request, _reply, _payload, done) => {
    const type = mediaTypeOf(request.headers['content-type']);
    const isOther = type !== 'application/json' && isJson(type);
    if (type === BATCH_TYPE) request.bodyLimitBytes = events.batchBytes;
    const isTaken = type === STRUCTURED_TYPE || type === BATCH_TYPE || 'ce-specversion' in request.headers;
    const isRefused = isOther && !request.is404 && !(request.routeOptions.url === events.path && isTaken);
    done(
      isRefused
        ? new Problem('unsupported_media_type', 'Send the body as `Content-Type: application/json`.')
        : null,
    );
  });
}
