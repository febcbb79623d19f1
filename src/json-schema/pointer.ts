/** One step of a JSON Pointer (RFC 6901 §3). */
export const pointerTo = (part: string | number): string =>
  `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`;

/**
 * The steps of a JSON Pointer, or of one as a URI fragment (RFC 6901 §6).
 *
 * @param pointer without `#`
 * @returns undefined for what is none
 */
export function pointerParts(pointer: string): string[] | undefined {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) return undefined;
  try {
    return pointer
      .slice(1)
      .split('/')
      .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'));
  } catch {
    return undefined;
  }
}

/** What the pointer leads to, of own members alone; undefined where it leads nowhere. @param pointer without `#` */
export function valueAt(document: unknown, pointer: string): unknown {
  let value = document;
  for (const part of pointerParts(pointer) ?? ['\u0000']) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}
