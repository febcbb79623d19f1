import type { FastifyInstance, HTTPMethods } from 'fastify';
import { Problem } from '../common/problems.js';

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * Answers 405 with `Allow` (RFC 9110 §15.5.6) where the path exists and the method does not.
 *
 * @returns call it once all routes are there, before listening
 */
export function refuseOtherMethods(server: FastifyInstance): () => void {
  const taken = new Map<string, Set<string>>();
  server.addHook('onRoute', ({ url, method }) => {
    const methods = taken.get(url) ?? new Set();
    for (const each of [method].flat()) methods.add(each);
    taken.set(url, methods);
  });
  return () => {
    for (const [url, methods] of [...taken]) {
      const allow = [...methods].sort().join(', ');
      const others = METHODS.filter((method) => !methods.has(method));
      if (others.length === 0) continue;
      server.route({
        url,
        method: others,
        // Before the body is read: what it holds does not matter any more.
        onRequest: (_request, reply, done) => {
          void reply.header('allow', allow);
          done(new Problem('method_not_allowed', `The path takes ${allow}.`));
        },
        handler: () => undefined,
      });
    }
  };
}
