import { isIP } from 'node:net';
import { parseUrl } from '../common/parse-url.js';
import { classifyAddress } from './address-rules.js';
import type { Refusal } from './codes.js';
import type { EgressNetworks } from './egress-networks.js';
import { REFUSED_PORTS } from './refused-ports.js';

const MAX_URL_LENGTH = 2048;

export interface CheckedUrl {
  ok: true;
  /** Normalised: host in lower case and punycode, IPv4 in four decimal parts, no trailing dot. */
  url: URL;
  /** The host where it is a literal address, without brackets; null for a name, whose addresses are still to be checked. */
  address: string | null;
  /**
   * True where the name may be used only if each of its addresses lies in an allowed network: with `http:`, and for names
   * that mean something else in each network.
   */
  onlyAllowedNetworks: boolean;
}

/**
 * What can be said of a URL without asking DNS. Spellings such as `0x7f.1`, `2130706433` or full-width digits are read as
 * WHATWG URL reads them, which is also what is connected to.
 */
export function checkUrl(text: string, allow: EgressNetworks): CheckedUrl | Refusal {
  if (text.length > MAX_URL_LENGTH) return tooLong();
  // The WHATWG parser drops tabs and line ends and takes \ for /; other programs that look at the same URL do not.
  if (!/^[^\u0000-\u0020\u007f\\]+$/.test(text)) {
    return refuse('url_invalid', 'The URL holds a space, a backslash or a control character.');
  }
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(text);
  const url = parts && parseUrl(text);
  if (!url) return refuse('url_invalid', 'The URL is not an absolute https: URL.');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return schemeRefused();
  // new URL() forgets the empty ones (https://@host), which other programs may read otherwise.
  if (parts[2]?.includes('@') === true) {
    return refuse('url_credentials_refused', 'The URL has a user name or password in it.');
  }
  if (text.includes('#')) return refuse('url_fragment_refused', 'The URL has a fragment (#…).');
  if (url.port !== '' && REFUSED_PORTS.has(Number(url.port))) {
    return refuse('url_port_refused', `Port ${url.port} belongs to another protocol than HTTP.`);
  }
  if (url.hostname.endsWith('.')) url.hostname = url.hostname.slice(0, -1);
  if (url.href.length > MAX_URL_LENGTH) return tooLong();

  const literal = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return isIP(literal) === 0 ? checkName(url, allow) : checkLiteral(url, literal, allow);
}

function checkLiteral(url: URL, address: string, allow: EgressNetworks): CheckedUrl | Refusal {
  const verdict = classifyAddress(address, allow);
  if (!verdict.allowed) return refuse('address_refused', `The host of the URL is ${verdict.reason}.`);
  if (url.protocol === 'http:' && !verdict.cleartextAllowed) return schemeRefused();
  return { ok: true, url, address, onlyAllowedNetworks: false };
}

function checkName(url: URL, allow: EgressNetworks): CheckedUrl | Refusal {
  const name = url.hostname;
  if (!isHostName(name)) return refuse('url_invalid', 'The host of the URL is not a valid host name.');
  if (METADATA_NAMES.some((metadata) => isWithin(name, metadata))) {
    return refuse('host_refused', 'The host of the URL is a cloud metadata service.');
  }
  const local = isLocalName(name);
  if (local && allow.empty) {
    return refuse('host_refused', 'The host of the URL is a name that only has a meaning inside a network.');
  }
  if (url.protocol === 'http:' && allow.empty) return schemeRefused();
  return { ok: true, url, address: null, onlyAllowedNetworks: local || url.protocol === 'http:' };
}

/** Refused whatever they resolve to: nobody's receiver is there, and the allow list must not open them by accident. */
const METADATA_NAMES = [
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.azure.internal',
  'metadata.platformequinix.com',
  'metadata.tencentyun.com',
];

/**
 * Names that lead somewhere else in each network: RFC 6761 (localhost), 6762 (.local), 8375 (home.arpa), .internal as
 * ICANN reserved it in 2024, and single labels, which resolvers complete with their own search domains.
 */
const LOCAL_SUFFIXES = [
  'localhost',
  'local',
  'internal',
  'home.arpa',
  'localdomain',
  'intranet',
  'lan',
  'corp',
  'home',
];

function isLocalName(name: string): boolean {
  return !name.includes('.') || LOCAL_SUFFIXES.some((suffix) => isWithin(name, suffix));
}

function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** RFC 1123 §2.1, with underscores because names of real servers have them. */
function isHostName(name: string): boolean {
  return (
    name.length <= 253 &&
    name.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  );
}

function schemeRefused(): Refusal {
  return refuse('url_scheme_refused', 'The URL must begin with https://.');
}

function tooLong(): Refusal {
  return refuse('url_too_long', `The URL is longer than ${MAX_URL_LENGTH} characters.`);
}

function refuse(code: Refusal['code'], detail: string): Refusal {
  return { ok: false, code, detail };
}
