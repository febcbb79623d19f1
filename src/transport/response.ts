import { isUtf8 } from 'node:buffer';
import type { OutgoingRequest, OutgoingResponse } from './types.js';

/** Bytes of a response body that are read before the connection is dropped. */
export const MAX_READ_BYTES = 64 * 1024;

/** Bytes of a response body that are kept for people to look at. */
export const MAX_KEPT_BYTES = 16 * 1024;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** RFC 4918 §11.1. */
export const MULTI_STATUS = 207;

/** Takes in one response as it arrives and keeps what is shown of it. */
export class ResponseReader {
  readonly #chunks: Buffer[] = [];
  readonly #wholeBytes: number;
  readonly #keptBytes: number;
  readonly #readBytes: number;
  #kept = 0;
  #read = 0;

  /** @param whole what is wanted of the body beside what is shown of it */
  constructor(
    private readonly statusCode: number,
    private readonly headers: Headers,
    whole?: OutgoingRequest['whole'],
  ) {
    this.#wholeBytes = whole && (whole.ofStatus ?? statusCode) === statusCode ? whole.bytes : 0;
    this.#keptBytes = Math.max(MAX_KEPT_BYTES, this.#wholeBytes);
    this.#readBytes = Math.max(MAX_READ_BYTES, this.#wholeBytes + 1);
  }

  /** @returns false once enough has been read: whoever sends more shall not keep a connection and a slot of ours. */
  take(chunk: Buffer): boolean {
    const room = this.#keptBytes - this.#kept;
    if (room > 0) {
      // A copy, because the chunk may be a view into a larger buffer that would stay in memory with it.
      const part = Buffer.from(chunk.subarray(0, room));
      this.#chunks.push(part);
      this.#kept += part.length;
    }
    this.#read += chunk.length;
    return this.#read < this.#readBytes;
  }

  response(): OutgoingResponse {
    const kept = Buffer.concat(this.#chunks);
    const shown = kept.subarray(0, MAX_KEPT_BYTES);
    const truncated = this.#read > shown.length;
    const headers = shownHeaders(this.headers);
    const { body, bodyEncoding } = shownBody(shown, headers['content-encoding'], truncated);
    const isWhole = this.#wholeBytes > 0 && this.#read <= this.#wholeBytes && isUtf8(kept);
    return {
      statusCode: this.statusCode,
      headers,
      body,
      bodyEncoding,
      truncated,
      ...(isWhole ? { whole: kept.toString('utf8') } : {}),
    };
  }
}

/** Control characters, NUL above all: PostgreSQL can keep it neither in text nor in jsonb. */
const CONTROL = /[\u0000-\u001f\u007f]/g;

function shownHeaders(headers: Headers): Record<string, string> {
  // fromEntries defines properties of its own, so a header called __proto__ is just a header.
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.replace(CONTROL, '').toLowerCase(),
      (Array.isArray(value) ? value.join(', ') : (value ?? '')).replace(CONTROL, ''),
    ]),
  );
}

function shownBody(
  bytes: Buffer,
  contentEncoding: string | undefined,
  truncated: boolean,
): Pick<OutgoingResponse, 'body' | 'bodyEncoding'> {
  const coded = contentEncoding !== undefined && !/^(identity)?$/i.test(contentEncoding);
  // Never decoded: a few kilobytes of gzip unpack to gigabytes.
  const text = coded || bytes.includes(0) ? bytes.subarray(0, 0) : truncated ? wholeCharacters(bytes) : bytes;
  return (text.length > 0 || bytes.length === 0) && isUtf8(text)
    ? { body: text.toString('utf8'), bodyEncoding: 'utf8' }
    : { body: bytes.toString('base64'), bodyEncoding: 'base64' };
}

/** Without the beginning of a UTF-8 character whose rest was cut off (RFC 3629 §3). */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return back < length ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}
