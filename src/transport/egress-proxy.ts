import { isIP } from 'node:net';
import { parseUrl } from '../common/parse-url.js';

/** The proxy that every request leaves through; made by {@link parseEgressProxy}. */
export interface EgressProxy {
  /** Whether the proxy itself is spoken to over TLS. */
  tls: boolean;
  /** Name or address, without brackets. */
  host: string;
  port: number;
  /** Value of `Proxy-Authorization`, a secret; null without credentials. */
  authorization: string | null;
}

/** Who turns host names into addresses where there is a proxy. */
export const RESOLVERS = ['posthorn', 'proxy'] as const;
export type Resolver = (typeof RESOLVERS)[number];

/** Whether host names are sent to the proxy as they are. Without a proxy there is nobody else to resolve them. */
export function namesAreTheProxys(settings: {
  EGRESS_PROXY: string | undefined;
  EGRESS_PROXY_RESOLVES: Resolver;
}): boolean {
  return settings.EGRESS_PROXY !== undefined && settings.EGRESS_PROXY_RESOLVES === 'proxy';
}

/**
 * Reads `POSTHORN_EGRESS_PROXY`: `http://[user:password@]host[:port]`, or `https://` where the proxy itself speaks TLS.
 *
 * @throws Error that says what is wrong without repeating the text, which holds a password
 */
export function parseEgressProxy(text: string): EgressProxy {
  const url = parseUrl(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    throw new Error('must be http://[user:password@]host:port, or https:// where the proxy speaks TLS');
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new Error('must have nothing after the port: a proxy is a host, not a page');
  }
  const tls = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    tls,
    host,
    port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
    authorization: authorizationOf(url),
  };
}

/** Basic credentials (RFC 7617 §2), written percent-encoded in the URL. */
function authorizationOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return null;
  const [user, secret] = [decoded(username), decoded(password)];
  if (user === null || secret === null) throw new Error('its credentials are not percent-encoded UTF-8');
  if (user.includes(':')) throw new Error('its user name has a colon in it, which Basic credentials cannot');
  return `Basic ${Buffer.from(`${user}:${secret}`, 'utf8').toString('base64')}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** `host:port` as CONNECT has it (RFC 9112 §3.2.3). @param host name or address, without brackets */
export function authority(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
