import ipaddr from 'ipaddr.js';
import { parseUrl } from '../common/parse-url.js';
import { parseIp } from '../transport/ip-text.js';

/**
 * Whether what comes from this URL can be believed: `https:`, or `http:` that never leaves this machine. Whoever can
 * change an issuer's keys on the way is everybody.
 */
export function isBelievable(url: URL): boolean {
  if (url.protocol === 'https:') return true;
  if (url.protocol !== 'http:') return false;
  if (url.hostname === 'localhost') return true;
  const address = parseIp(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  return address instanceof ipaddr.IPv4 || address instanceof ipaddr.IPv6
    ? address.range() === 'loopback'
    : false;
}

/**
 * Checks an issuer's identifier (OpenID Connect Discovery 1.0 §2): a URL without query and fragment.
 *
 * @throws Error saying what is wrong
 */
export function checkIssuer(text: string): void {
  const url = parseUrl(text);
  if (!url || !isBelievable(url)) throw new Error('must be an `https:` URL, or `http:` on loopback');
  if (url.username !== '' || url.password !== '' || /[?#\s]/.test(text))
    throw new Error('must have no credentials, query or fragment');
}

/** Where an issuer says what it is (OpenID Connect Discovery 1.0 §4.1). */
export const configurationUrl = (issuer: string): string =>
  `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
