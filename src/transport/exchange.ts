import type { Dispatcher } from 'undici';
import { deadline } from './deadline.js';
import { exchangeFault, ReceiverFault } from './failures.js';
import type { TransportFault } from './failures.js';
import type { Origin } from './origins.js';
import { silent } from './proxy-line.js';
import { ResponseReader } from './response.js';
import type { OutgoingRequest, OutgoingResponse } from './types.js';

/** What became of a request. A rejection of {@link exchange} is ours, this is the receiver's. */
export type Exchanged =
  | { ok: true; response: OutgoingResponse }
  | {
      ok: false;
      fault: ReceiverFault;
      /** What had arrived, where a status had. */
      response?: OutgoingResponse;
      /** True where the request went out on a kept connection that ended without a byte of an answer. */
      stale: boolean;
      /** Where a crowd of ours kept it out: milliseconds after which it may come back. */
      comeBackMs?: number;
    };

/**
 * Sends one request and reads one response, within `timeoutMs` milliseconds.
 *
 * @throws TransportFault where the failure is on our side.
 */
export function exchange(
  origin: Origin,
  url: URL,
  request: OutgoingRequest,
  timeoutMs: number,
): Promise<Exchanged> {
  return new Promise((resolve, reject) => {
    const handler = new ExchangeHandler(origin, timeoutMs, request.whole, resolve, reject);
    origin.dispatcher.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method: request.method,
        headers: request.headers as Record<string, string>,
        body: request.body,
      },
      handler,
    );
  });
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #beganAt = performance.now();
  readonly #inTime: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #reader: ResponseReader | undefined;
  #answering = false;
  #reused = false;
  #standing = false;
  #settled = false;

  constructor(
    private readonly origin: Origin,
    private readonly timeoutMs: number,
    private readonly whole: OutgoingRequest['whole'],
    private readonly resolve: (result: Exchanged) => void,
    private readonly reject: (error: Error) => void,
  ) {
    origin.active++;
    origin.waiting++;
    for (const host of origin.hosts) host.begin(this.#beganAt);
    this.#inTime = deadline(timeoutMs, () => {
      this.#fail(this.#late());
      this.#controller?.abort(new Error('past its deadline'));
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The deadline came while undici had it queued; nothing has been written yet.
    if (this.#settled) {
      controller.abort(new Error('past its deadline'));
      return;
    }
    this.#controller = controller;
    this.origin.waiting--;
    this.#standing = true;
    this.origin.stand();
    this.#reused = !this.origin.handingOverFresh;
  }

  /** The first byte of an answer. */
  onResponseStarted(): void {
    if (this.#answering || this.#settled) return;
    this.#goFromHosts();
    this.#answering = true;
    const now = performance.now();
    for (const host of this.origin.hosts) host.answer(now);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: Headers): void {
    // Informational ones come before the answer (RFC 9110 §15.2).
    if (statusCode >= 200) this.#reader = new ResponseReader(statusCode, headers, this.whole);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled || this.#reader === undefined || this.#reader.take(chunk)) return;
    this.#settle({ ok: true, response: this.#reader.response() });
    controller.abort(new Error('read enough'));
  }

  onResponseEnd(): void {
    if (this.#reader !== undefined) this.#settle({ ok: true, response: this.#reader.response() });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(exchangeFault(error, this.#reader !== undefined));
  }

  #late(): ReceiverFault | TransportFault {
    if (this.#reader !== undefined) return new ReceiverFault('response_body_timeout');
    if (this.#controller !== undefined) return new ReceiverFault('response_timeout');
    if (this.origin.isProxyToBlame(this.#beganAt)) return silent();
    return new ReceiverFault(
      'connect_timeout',
      `No connection came about within ${Math.round(this.timeoutMs)} ms.`,
    );
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    if (!(error instanceof ReceiverFault)) {
      this.#finish();
      this.reject(error);
      return;
    }
    const keptOut = error.code === 'connect_timeout' || error.code === 'proxy_connect_failed';
    const crowded = keptOut && this.origin.hosts.find((host) => host.isCrowded(this.#beganAt));
    const gone = error.code === 'connection_reset' || error.code === 'connection_closed';
    this.#settle({
      ok: false,
      fault: error,
      stale: gone && this.#reused && this.#controller !== undefined && !this.#answering,
      ...(this.#reader === undefined ? {} : { response: this.#reader.response() }),
      ...(crowded ? { comeBackMs: crowded.comeBackIn(performance.now()) } : {}),
    });
  }

  #settle(result: Exchanged): void {
    if (this.#settled) return;
    this.#finish();
    this.resolve(result);
  }

  #finish(): void {
    this.#settled = true;
    this.origin.active--;
    if (this.#controller === undefined) this.origin.waiting--;
    if (!this.#answering) this.#goFromHosts();
    this.#inTime();
  }

  /** It is answered, or nobody waits for an answer any more. */
  #goFromHosts(): void {
    if (this.#standing) this.origin.leave();
    for (const host of this.origin.hosts) host.end();
  }
}

type Headers = ConstructorParameters<typeof ResponseReader>[1];
