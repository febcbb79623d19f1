import type { FastifyInstance } from 'fastify';
import { Problem } from '../common/problems.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Bodies from here on are read one after another: what comes with one event alone is not to wait for many of them. */
const LARGE_BYTES = 16 * 1024;
/** How long others have the process for themselves after a large body, as a multiple of what that took. */
const REST = 2;

/**
 * Reads JSON bodies, and nothing else: every other type answers 415. The text is kept beside the value, for data that
 * is passed on byte for byte and for fingerprints.
 */
export function readJsonBodies(server: FastifyInstance): void {
  const large = new Turns();
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
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
    else large.add(read);
  });
}

/** One piece of work at a time, with a rest after each. */
class Turns {
  private readonly waiting: (() => void)[] = [];
  private resting = false;

  add(work: () => void): void {
    this.waiting.push(work);
    if (!this.resting) this.next();
  }

  private next(): void {
    const work = this.waiting.shift();
    this.resting = work !== undefined;
    if (!work) return;
    const beganAtMs = performance.now();
    work();
    // What it led to without waiting for anything, such as validation, is over by then.
    setImmediate(() => setTimeout(() => this.next(), REST * (performance.now() - beganAtMs)));
  }
}
