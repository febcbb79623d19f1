import type { Dispatcher } from 'undici';
import { exchangeFault, ReceiverFault } from './failures.js';
import type { Origin } from './origins.js';
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
    const handler = new ExchangeHandler(origin, timeoutMs, resolve, reject);
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
  readonly #deadline: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #reader: ResponseReader | undefined;
  #answering = false;
  #reused = false;
  #settled = false;

  constructor(
    private readonly origin: Origin,
    private readonly timeoutMs: number,
    private readonly resolve: (result: Exchanged) => void,
    private readonly reject: (error: Error) => void,
  ) {
    origin.active++;
    this.#deadline = setTimeout(() => {
      this.#fail(this.#late());
      this.#controller?.abort(new Error('past its deadline'));
    }, timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The deadline came while undici had it queued; nothing has been written yet.
    if (this.#settled) {
      controller.abort(new Error('past its deadline'));
      return;
    }
    this.#controller = controller;
    this.#reused = !this.origin.handingOverFresh;
  }

  /** The first byte of an answer. */
  onResponseStarted(): void {
    this.#answering = true;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: Headers): void {
    // Informational ones come before the answer (RFC 9110 §15.2).
    if (statusCode >= 200) this.#reader = new ResponseReader(statusCode, headers);
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

  #late(): ReceiverFault {
    if (this.#reader !== undefined) return new ReceiverFault('response_body_timeout');
    if (this.#controller !== undefined) return new ReceiverFault('response_timeout');
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
    const gone = error.code === 'connection_reset' || error.code === 'connection_closed';
    this.#settle({
      ok: false,
      fault: error,
      stale: gone && this.#reused && this.#controller !== undefined && !this.#answering,
      ...(this.#reader === undefined ? {} : { response: this.#reader.response() }),
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
    clearTimeout(this.#deadline);
  }
}

type Headers = ConstructorParameters<typeof ResponseReader>[1];
