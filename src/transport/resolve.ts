import { lookup as getaddrinfo, Resolver } from 'node:dns/promises';
import { classifyAddress } from './address-rules.js';
import type { Refusal } from './codes.js';
import type { EgressNetworks } from './egress-networks.js';
import { codeOf, TransportFault } from './failures.js';

/** Addresses of a name, A and AAAA together; rejects with a `code` as node:dns does when there are none. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

/**
 * Addresses of one name that are connected to. An answer of DNS may hold thousands, another thousand each time: they would all be
 * kept for a minute, and no connection be used twice.
 */
const MAX_ADDRESSES = 16;

export type Resolution =
  | { ok: true; addresses: readonly string[] }
  | Refusal
  | { ok: false; code: 'dns_not_found' | 'dns_failed'; detail: string };

/**
 * Asks DNS itself rather than the operating system: getaddrinfo occupies one of libuv's four threads for as long as a
 * name server is silent, so four endpoints with dead ones would hold up everybody's deliveries. The system is asked
 * only for names that DNS does not have, and only where networks are opened: /etc/hosts is for development.
 *
 * @param servers name servers (`address:port`) to ask instead of those that the system is set to.
 */
export function systemLookup(allow: EgressNetworks, servers?: readonly string[]): Lookup {
  const resolver = new Resolver({ timeout: 1500, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async (hostname) => {
    // RFC 6761 §6.3: localhost is loopback, whatever a name server says.
    if (hostname === 'localhost' || hostname.endsWith('.localhost')) return ['127.0.0.1', '::1'];
    const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    const addresses = answers.flatMap<string>((answer) =>
      answer.status === 'fulfilled' ? answer.value : [],
    );
    if (addresses.length > 0) return addresses;
    const reasons = answers.flatMap<Error>((answer) =>
      answer.status === 'rejected' ? [answer.reason as Error] : [],
    );
    // A name server that fails for one family may have had an answer; that the other is absent proves nothing.
    const reason = reasons.find((each) => !isNotFound(each)) ?? reasons[0];
    try {
      if (!allow.empty) return (await getaddrinfo(hostname, { all: true })).map(({ address }) => address);
      if (reason !== undefined) throw reason;
      return [];
    } catch (error) {
      if (NOT_ASKED.has(codeOf(reason)) && !(await answersForTheRoot(resolver)))
        throw new TransportFault('No name server can be asked.', { cause: reason });
      throw error;
    }
  };
}

/**
 * c-ares: none of the servers it is set to took the question, or it could not even ask. It says so too where one of several did not
 * answer in time, which the name may be to blame for, and another is out of order.
 */
const NOT_ASKED: ReadonlySet<string | undefined> = new Set([
  'ECONNREFUSED',
  'ENOMEM',
  'EFILE',
  'ENOTINITIALIZED',
]);

/** Whether our name servers know what every one knows. */
const answersForTheRoot = (resolver: Resolver): Promise<boolean> =>
  resolver.resolveNs('.').then(
    () => true,
    (error: unknown) => !NOT_ASKED.has(codeOf(error)),
  );

/**
 * Resolves a name and checks each answer. One refused answer refuses the name: whoever answers with a public and a private
 * address counts on the private one being picked sometimes, and a name that is honest has no reason to carry both.
 *
 * What is returned is what is connected to. Asking again when connecting would let a name server answer a public
 * address for the check and a private one for the connection ("DNS rebinding").
 *
 * @param onlyAllowedNetworks see {@link CheckedUrl}
 * @throws TransportFault where no name server of ours can be asked: that says nothing about the name
 */
export async function resolveName(
  hostname: string,
  onlyAllowedNetworks: boolean,
  allow: EgressNetworks,
  lookup: Lookup,
): Promise<Resolution> {
  let addresses: readonly string[];
  try {
    addresses = await lookup(hostname);
  } catch (error) {
    if (error instanceof TransportFault) throw error;
    return isNotFound(error)
      ? { ok: false, code: 'dns_not_found', detail: 'The host name does not exist or has no address.' }
      : { ok: false, code: 'dns_failed', detail: 'The host name could not be looked up.' };
  }
  if (addresses.length === 0) {
    return { ok: false, code: 'dns_not_found', detail: 'The host name has no address.' };
  }
  for (const address of addresses) {
    const verdict = classifyAddress(address, allow);
    // The class is enough for a person to act on. The address would tell a stranger how our network is laid out.
    if (!verdict.allowed) {
      return { ok: false, code: 'address_refused', detail: `The host name leads to ${verdict.reason}.` };
    }
    if (onlyAllowedNetworks && !verdict.cleartextAllowed) {
      return {
        ok: false,
        code: 'address_refused',
        detail: 'The host name leads out of the networks for which local names and http: are allowed.',
      };
    }
  }
  // In one order, so that the same ones are left of the same answer however it is rotated.
  const kept = addresses.length > MAX_ADDRESSES ? addresses.toSorted().slice(0, MAX_ADDRESSES) : addresses;
  return { ok: true, addresses: kept };
}

const NOT_FOUND: ReadonlySet<string | undefined> = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME', 'EBADNAME']);

function isNotFound(error: unknown): boolean {
  return NOT_FOUND.has(codeOf(error));
}
