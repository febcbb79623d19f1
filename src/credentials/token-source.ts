import { within } from '../transport/within.js';
import type { Transport } from '../transport/transport.js';
import type { TlsCredentials, TransportFailure } from '../transport/types.js';
import { failure, readTokenAnswer, tokenFailure, tokenRequest } from './access-token.js';
import type { OAuth2Client } from './credentials.schema.js';

export type Sender = Pick<Transport, 'send'>;

export type Fetched = { ok: true; token: string } | { ok: false; failure: TransportFailure };

/**
 * The access token of one endpoint: kept while it is good, and asked for once however many attempts want it. It lives in
 * memory alone; each process has its own.
 */
export class TokenSource {
  #kept: { token: string; untilMs: number } | undefined;
  #fetching: Promise<Fetched> | undefined;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(
    private readonly client: OAuth2Client,
    private readonly tls: TlsCredentials | undefined,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /**
   * @param timeoutMs how long this caller waits; who begins a fetch says how long it may take
   * @throws TransportFault for what is no fault of the token server
   */
  async get(sender: Sender, timeoutMs: number): Promise<Fetched> {
    if (this.#kept !== undefined && this.now() < this.#kept.untilMs)
      return { ok: true, token: this.#kept.token };
    if (timeoutMs <= 0) return late();
    this.#fetching ??= this.#fetch(sender, timeoutMs).finally(() => (this.#fetching = undefined));
    const fetched = await within(timeoutMs, this.#fetching);
    return fetched === 'late' ? late() : fetched;
  }

  /** The receiver does not take it. One that was fetched since stays. */
  drop(token: string): void {
    if (this.#kept?.token === token) this.#kept = undefined;
  }

  async #fetch(sender: Sender, timeoutMs: number): Promise<Fetched> {
    const askedAtMs = this.now();
    const result = await sender.send({
      method: 'POST',
      url: this.client.tokenUrl,
      ...tokenRequest(this.client),
      timeoutMs,
      ...(this.tls === undefined ? {} : { tls: this.tls }),
    });
    if (!result.ok) return { ok: false, failure: tokenFailure(result.failure) };
    const answer = readTokenAnswer(result.response);
    if (!answer.ok) return answer;
    this.#kept = { token: answer.token, untilMs: askedAtMs + answer.usableMs };
    return { ok: true, token: answer.token };
  }
}

const late = (): Fetched => ({
  ok: false,
  failure: failure('oauth2_token_unavailable', 'The token server did not answer in the time of the attempt.'),
});
