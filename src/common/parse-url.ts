/**
 * A WHATWG URL, or null. Not by `URL.canParse`: once V8 has optimised its caller, Node 20 reads letters such as ü there
 * as broken UTF-8 and calls good URLs bad.
 */
export function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
