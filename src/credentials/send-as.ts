import type { OutgoingRequest, OutgoingResponse, TransportResult } from '../transport/types.js';
import type { ReadyCredentials } from './opened-credentials.js';
import { redactResult } from './redact.js';
import type { Sender, TokenSource } from './token-source.js';

/**
 * Sends a request with the credentials of its endpoint, all within `request.timeoutMs`, and lets nothing of them into what
 * comes back.
 *
 * @throws TransportFault as {@link Sender} does
 */
export async function sendAs(
  sender: Sender,
  { headers, secrets, tls, tokens }: ReadyCredentials,
  plain: OutgoingRequest,
): Promise<TransportResult> {
  const request = {
    ...plain,
    headers: { ...plain.headers, ...headers },
    ...(tls === undefined ? {} : { tls }),
  };
  const result =
    tokens === undefined ? await sender.send(request) : await sendWithToken(sender, tokens, request);
  return redactResult(result, secrets);
}

/**
 * With an access token. One that the receiver answers 401 to has perhaps been revoked: a new one is fetched, once, and
 * the same request sent again. It is the same attempt, with the same `webhook-id`; a receiver that says 401 has not taken
 * the first one.
 */
async function sendWithToken(
  sender: Sender,
  tokens: TokenSource,
  request: OutgoingRequest,
): Promise<TransportResult> {
  const startedAt = performance.now();
  const elapsedMs = () => performance.now() - startedAt;
  let unauthorised: OutgoingResponse | undefined;
  for (;;) {
    const fetched = await tokens.get(sender, request.timeoutMs - elapsedMs());
    if (!fetched.ok) {
      const failure =
        unauthorised === undefined ? fetched.failure : { ...fetched.failure, response: unauthorised };
      return { ok: false, durationMs: Math.round(elapsedMs()), failure };
    }
    const { token } = fetched;
    const authorised = { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } };
    const timeoutMs = Math.max(1, request.timeoutMs - elapsedMs());
    const result = redactResult(await sender.send({ ...authorised, timeoutMs }), [token]);
    if (unauthorised !== undefined || !result.ok || result.response.statusCode !== 401) {
      return { ...result, durationMs: Math.round(elapsedMs()) };
    }
    unauthorised = result.response;
    tokens.drop(token);
  }
}
