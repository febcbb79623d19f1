import type { FastifyInstance } from 'fastify';
import { Problem } from '../common/problems.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads JSON bodies, and nothing else: every other type answers 415. The text is kept beside the value, for data that
 * is passed on byte for byte and for fingerprints.
 */
export function readJsonBodies(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    try {
      // A byte order mark is no JSON (RFC 8259 §8.1), and TextDecoder drops it, as the section allows.
      const text = utf8.decode(body);
      request.bodyText = text;
      done(null, JSON.parse(text));
    } catch {
      done(new Problem('malformed_json', 'The body is not one JSON value in UTF-8.'));
    }
  });
}
