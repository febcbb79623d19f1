import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from 'helmet';

/**
 * The headers that helmet sets, for every answer. They are the same each time, so helmet is asked once: working them
 * out anew takes a twentieth of the time of a publish.
 */
export function securityHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  const answer = {
    setHeader: (name: string, value: string) => (headers[name.toLowerCase()] = value),
    removeHeader: () => undefined,
  };
  const set = helmet({
    // The page at /docs sets styles on elements; scripts come from this process alone.
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        upgradeInsecureRequests: null,
      },
    },
    strictTransportSecurity: false,
  });
  // With these options it looks at nothing of the request, and calls nothing of the answer but these two.
  set({} as IncomingMessage, answer as unknown as ServerResponse, () => undefined);
  return headers;
}
