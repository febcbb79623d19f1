import ipaddr from 'ipaddr.js';
import type { EgressNetworks } from './egress-networks.js';
import { parseIp } from './ip-text.js';

export type AddressVerdict =
  | { allowed: true; /** Whether `http:` may be used there. */ cleartextAllowed: boolean }
  | {
      allowed: false;
      /** What the address is, for people, without the address: "a private address". */ reason: string;
    };

/** Why nothing may be sent there, after the networks themselves. */
type Rules<T> = readonly (readonly [network: T, bits: number, reason: string])[];

/**
 * Services on these hand out a machine's credentials to whoever can reach them. They stay shut even inside an allowed
 * network, unless the allow list names the very address: `10.0.0.0/8` is meant for receivers, never for these.
 */
const METADATA_V4 = v4Rules([
  ['169.254.169.254/32', 'a cloud metadata address'], // AWS, Google Cloud, Azure, and most others
  ['169.254.170.2/32', 'a cloud metadata address'], // AWS ECS task credentials
  ['169.254.170.23/32', 'a cloud metadata address'], // AWS EKS pod identity
  ['169.254.0.23/32', 'a cloud metadata address'], // Tencent Cloud
  ['168.63.129.16/32', 'a cloud metadata address'], // Azure's host agent: public by its number, private in every Azure network
  ['100.100.100.200/32', 'a cloud metadata address'], // Alibaba Cloud, within the carrier-grade NAT block
  ['192.0.0.192/32', 'a cloud metadata address'], // Oracle Cloud, older instances
]);
const METADATA_V6 = v6Rules([
  ['fd00:ec2::254/128', 'a cloud metadata address'], // AWS
  ['fd00:ec2::23/128', 'a cloud metadata address'], // AWS EKS pod identity
  ['fd20:ce::254/128', 'a cloud metadata address'], // Google Cloud
  ['fd00:42::42/128', 'a cloud metadata address'], // Scaleway
]);

/**
 * The IANA IPv4 Special-Purpose Address Registry (RFC 6890 and what came after), the multicast space (RFC 5771) and class E.
 * Blocks that the registry calls globally reachable are in it too: none of them ever holds a customer's receiver.
 */
const SPECIAL_V4 = v4Rules([
  ['0.0.0.0/8', 'an address of "this network"'], // RFC 791: Linux connects 0.0.0.0 to itself, so it is loopback by another name
  ['10.0.0.0/8', 'a private address'], // RFC 1918: databases and consoles of whoever runs Posthorn
  ['100.64.0.0/10', 'a carrier-grade NAT address'], // RFC 6598: Tailscale, Kubernetes pods of some clouds
  ['127.0.0.0/8', 'a loopback address'], // RFC 1122: everything on this machine that trusts its own host
  ['169.254.0.0/16', 'a link-local address'], // RFC 3927: metadata services not named above
  ['172.16.0.0/12', 'a private address'], // RFC 1918: Docker's own networks lie here
  ['192.0.0.0/24', 'an IETF protocol address'], // RFC 6890: DS-Lite, PCP and TURN anycast
  ['192.0.2.0/24', 'a documentation address'], // RFC 5737: nobody's, and often rerouted to something internal
  ['192.31.196.0/24', 'an AS112 sink address'], // RFC 7535
  ['192.52.193.0/24', 'an AMT relay address'], // RFC 7450: tunnels multicast
  ['192.88.99.0/24', 'a 6to4 relay address'], // RFC 7526: a relay forwards to what is embedded in a packet
  ['192.168.0.0/16', 'a private address'], // RFC 1918
  ['192.175.48.0/24', 'an AS112 sink address'], // RFC 7534
  ['198.18.0.0/15', 'a benchmarking address'], // RFC 2544: laboratory devices, and some VPNs' virtual names
  ['198.51.100.0/24', 'a documentation address'], // RFC 5737
  ['203.0.113.0/24', 'a documentation address'], // RFC 5737
  ['224.0.0.0/4', 'a multicast address'], // RFC 5771: reaches every subscriber on the local network
  ['255.255.255.255/32', 'a broadcast address'], // RFC 919
  ['240.0.0.0/4', 'a reserved address'], // RFC 1112: used as private space inside some large networks
]);

/** Loopback and "this network" come before the deprecated `::/96` that they lie in, so that the reason is the true one. */
const SPECIAL_V6 = v6Rules([
  ['::/128', 'an unspecified address'], // RFC 4291: connects to this machine
  ['::1/128', 'a loopback address'], // RFC 4291
  // ipaddr.js takes ::7f00:1 for unicast, and some systems still route it to 127.0.0.1.
  ['::/96', 'a deprecated IPv4-compatible address'], // RFC 4291 §2.5.5.1
  ['64:ff9b:1::/48', 'a local NAT64 address'], // RFC 8215: its translator may well reach private IPv4
  ['100::/64', 'a discard address'], // RFC 6666
  ['100:0:0:1::/64', 'a dummy address'], // RFC 9780
  // 2001::/23 is Teredo, benchmarking, AMT, AS112, ORCHID, ORCHIDv2 and drone tags; what registries give out begins at 2001:200::.
  ['2001::/32', 'a Teredo address'], // RFC 4380: a relay sends on to the IPv4 address embedded in it
  ['2001:2::/48', 'a benchmarking address'], // RFC 5180
  ['2001:10::/28', 'an ORCHID address'], // RFC 4843: names of hosts, not places
  ['2001:20::/28', 'an ORCHID address'], // RFC 7343
  ['2001::/23', 'an IETF protocol address'], // RFC 2928
  ['2001:db8::/32', 'a documentation address'], // RFC 3849
  ['2002::/16', 'a 6to4 address'], // RFC 3056: a relay sends on to the IPv4 address embedded in it
  ['2620:4f:8000::/48', 'an AS112 sink address'], // RFC 7534
  ['3fff::/20', 'a documentation address'], // RFC 9637
  ['5f00::/16', 'a segment-routing address'], // RFC 9602: steers packets inside an operator's network
  ['fc00::/7', 'a private address'], // RFC 4193
  ['fe80::/10', 'a link-local address'], // RFC 4291
  ['fec0::/10', 'a site-local address'], // RFC 3879: deprecated, still private
  ['ff00::/8', 'a multicast address'], // RFC 4291
]);

/** The only part of IPv6 that is given out for the public internet (RFC 4291 §2.4; ipaddr.js takes `4000::1` for unicast too). */
const GLOBAL_UNICAST: readonly [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/** RFC 6052 §2.1: on an IPv6-only network with DNS64 every IPv4 receiver has an address in here. */
const NAT64: readonly [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('64:ff9b::'), 96];

/**
 * Whether a request may be sent to an address, after the IANA special-purpose registries for IPv4 and IPv6. An address in
 * an allowed network may be reached whatever it is, and without TLS.
 *
 * @param ip a literal address without brackets, in any usual spelling; anything else is refused.
 */
export function classifyAddress(ip: string, allow: EgressNetworks): AddressVerdict {
  const address = parseIp(ip);
  if (address === null) return { allowed: false, reason: 'not an IP address' };
  return address instanceof ipaddr.IPv4 ? classifyV4(address, allow) : classifyV6(address, allow);
}

function classifyV4(address: ipaddr.IPv4, allow: EgressNetworks): AddressVerdict {
  const metadata = reasonIn(address, METADATA_V4);
  const allowed = allow.v4.some(
    ([network, bits]) => (metadata === null || bits === 32) && address.match(network, bits),
  );
  if (allowed) return { allowed: true, cleartextAllowed: true };
  return verdict(metadata ?? reasonIn(address, SPECIAL_V4));
}

function classifyV6(address: ipaddr.IPv6, allow: EgressNetworks): AddressVerdict {
  // The mapped spelling is the IPv4 address: the connection it makes is an IPv4 connection.
  if (address.isIPv4MappedAddress()) return classifyV4(address.toIPv4Address(), allow);

  const translated = address.match(NAT64[0], NAT64[1]);
  const inner = translated ? new ipaddr.IPv4(address.toByteArray().slice(12)) : null;
  const metadata = inner === null ? reasonIn(address, METADATA_V6) : reasonIn(inner, METADATA_V4);
  const allowed = allow.v6.some(
    ([network, bits]) => (metadata === null || bits === 128) && address.match(network, bits),
  );
  if (allowed) return { allowed: true, cleartextAllowed: true };
  // The allow list is not asked about what is inside: 10.0.0.5 behind a translator is another machine than 10.0.0.5 here.
  if (inner !== null) return verdict(metadata ?? reasonIn(inner, SPECIAL_V4));

  const special = metadata ?? reasonIn(address, SPECIAL_V6);
  if (special !== null) return verdict(special);
  return verdict(address.match(GLOBAL_UNICAST[0], GLOBAL_UNICAST[1]) ? null : 'a reserved address');
}

function verdict(reason: string | null): AddressVerdict {
  return reason === null ? { allowed: true, cleartextAllowed: false } : { allowed: false, reason };
}

function reasonIn<T extends ipaddr.IPv4 | ipaddr.IPv6>(address: T, rules: Rules<T>): string | null {
  return rules.find(([network, bits]) => address.match(network, bits))?.[2] ?? null;
}

function v4Rules(rules: readonly (readonly [cidr: string, reason: string])[]): Rules<ipaddr.IPv4> {
  return rules.map(([cidr, reason]) => [...ipaddr.IPv4.parseCIDR(cidr), reason] as const);
}

function v6Rules(rules: readonly (readonly [cidr: string, reason: string])[]): Rules<ipaddr.IPv6> {
  return rules.map(([cidr, reason]) => [...ipaddr.IPv6.parseCIDR(cidr), reason] as const);
}
