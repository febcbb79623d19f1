/**
 * JSON that is the same text whoever writes it (RFC 8785): names sorted by their UTF-16 code units, no spaces, numbers and
 * escapes as ECMAScript has them. Fields that are undefined are left out; a lone surrogate, which UTF-8 cannot hold,
 * becomes U+FFFD.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed());
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, field]) => `${canonicalJson(name)}:${canonicalJson(field)}`);
  return `{${fields.join(',')}}`;
}
