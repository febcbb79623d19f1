import { MASK } from '../endpoints/custom-headers.js';
import type { OutgoingResponse, TransportResult } from '../transport/types.js';

/** To look for what is shorter would tear up answers that have nothing to do with it. */
const MIN_LENGTH = 8;

/** Puts the mask where a receiver repeats what it was shown: some answer with the whole request. */
export function redactResult(result: TransportResult, secrets: readonly string[]): TransportResult {
  const sought = secrets
    .filter(({ length }) => length >= MIN_LENGTH)
    .flatMap(spellingsOf)
    .toSorted((a, b) => b.length - a.length);
  if (sought.length === 0) return result;
  if (result.ok) return { ...result, response: redact(result.response, sought) };
  const { response, ...failure } = result.failure;
  return response === undefined
    ? result
    : { ...result, failure: { ...failure, response: redact(response, sought) } };
}

/** As it is, and as JSON (with or without `\/`), URLs and forms have it. */
function spellingsOf(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const url = encodeURIComponent(secret);
  return [...new Set([secret, json, json.replaceAll('/', '\\/'), url, url.replaceAll('%20', '+')])];
}

/** An answer that was cut off may end in the middle of one. */
function withoutBeginning(text: string, secrets: readonly string[]): string {
  for (const secret of secrets) {
    for (let length = secret.length - 1; length >= MIN_LENGTH; length--) {
      if (text.endsWith(secret.slice(0, length))) return `${text.slice(0, -length)}${MASK}`;
    }
  }
  return text;
}

function redact(response: OutgoingResponse, secrets: readonly string[]): OutgoingResponse {
  const text = (value: string) => secrets.reduce((left, secret) => left.replaceAll(secret, MASK), value);
  const headers = Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, text(value)]),
  );
  const whole = response.whole === undefined ? {} : { whole: text(response.whole) };
  if (response.bodyEncoding === 'utf8') {
    const body = text(response.body);
    return {
      ...response,
      ...whole,
      headers,
      body: response.truncated ? withoutBeginning(body, secrets) : body,
    };
  }
  const bytes = Buffer.from(response.body, 'base64');
  if (!secrets.some((secret) => bytes.includes(secret))) return { ...response, ...whole, headers };
  return { ...response, ...whole, headers, body: MASK, bodyEncoding: 'utf8' };
}
