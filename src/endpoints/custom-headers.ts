import { z } from 'zod';

/** What stands for a credential wherever headers are shown. */
export const MASK = '***';

/** Names whose values are credentials by custom, or links that are good once; they are masked in every answer and log. */
const CREDENTIAL =
  /(^|[-_])auth([-_]|$)|authorization|authentication|cookie|token|secret|passw|pwd|api[-_]?key|[-_]key$|credential|session|jwt|bearer|^ce-dataref$/;

/** Set by the transport or by Standard Webhooks: a custom one would break framing or forge a signature. */
const RESERVED =
  /^(webhook-.*|content-.*|host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|user-agent|accept-encoding|date)$/;

// RFC 9110 §5.1: a field name is a token.
const token = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'must be a header name');

/** Name of a header that Posthorn does not set itself, in lower case. */
export const headerName = token
  .transform((name) => name.toLowerCase())
  .refine((name) => !RESERVED.test(name), 'is set by Posthorn itself');

// RFC 9110 §5.5: visible ASCII with spaces and tabs between.
export const headerValue = z
  .string()
  .max(4096)
  .regex(/^([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?$/, 'must be printable ASCII without line breaks');

export const customHeaders = z
  .record(token, headerValue)
  .superRefine((headers, context) => {
    const names = Object.keys(headers).map((name) => name.toLowerCase());
    if (names.length > 20) context.addIssue({ code: 'custom', message: 'must be at most 20 headers' });
    for (const [index, name] of names.entries()) {
      const path = [Object.keys(headers)[index] ?? name];
      if (RESERVED.test(name))
        context.addIssue({ code: 'custom', path, message: 'is set by Posthorn itself' });
      if (names.indexOf(name) !== index)
        context.addIssue({ code: 'custom', path, message: 'is given twice' });
    }
  })
  .transform((headers) =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  );

export type CustomHeaders = z.output<typeof customHeaders>;

/** @param name in lower case */
export const isCredential = (name: string): boolean => CREDENTIAL.test(name);

/** @param headers names in lower case */
export function maskHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, isCredential(name) ? MASK : value]),
  );
}

/** Puts stored values back where a caller sent masks that it had read before. */
export function unmaskHeaders(sent: CustomHeaders, stored: CustomHeaders): CustomHeaders {
  return Object.fromEntries(
    Object.entries(sent).map(([name, value]) => [
      name,
      // hasOwn: `constructor` is a header's name like any other.
      value === MASK && Object.hasOwn(stored, name) ? (stored[name] ?? value) : value,
    ]),
  );
}
