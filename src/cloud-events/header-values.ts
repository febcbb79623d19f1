// HTTP binding 1.0.2 §3.1.3.2: all but printable ASCII, and of that the space, the double quote and the percent sign.
const TO_ENCODE = /[^\u0021-\u007e]|["%]/gu;

/** An attribute's value as an HTTP header carries it (CloudEvents HTTP binding 1.0.2 §3.1.3.2). @param text well-formed */
export const encodeHeaderValue = (text: string): string =>
  text.replace(TO_ENCODE, (letter) =>
    [...Buffer.from(letter)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );

/**
 * Reads such a header's value back: a quoted one is one too, by the version of the binding before.
 *
 * @returns null for percent signs that encode no UTF-8
 */
export function decodeHeaderValue(value: string): string | null {
  const quoted = /^"(.*)"$/.exec(value)?.[1];
  try {
    return decodeURIComponent(quoted === undefined ? value : quoted.replace(/\\(.)/g, '$1'));
  } catch {
    return null;
  }
}
