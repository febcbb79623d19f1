import ipaddr from 'ipaddr.js';
import { parseIp } from './ip-text.js';

/** Networks that may be reached although they are not public; made by {@link parseEgressNetworks}. */
export interface EgressNetworks {
  readonly v4: readonly (readonly [ipaddr.IPv4, number])[];
  readonly v6: readonly (readonly [ipaddr.IPv6, number])[];
  /** True when nothing but public addresses may be reached. */
  readonly empty: boolean;
}

/** No network beyond the public ones. */
export const PUBLIC_ONLY: EgressNetworks = { v4: [], v6: [], empty: true };

/**
 * Reads `POSTHORN_EGRESS_ALLOW`: CIDR blocks or single addresses, separated by commas, spaces allowed; empty for none.
 *
 * @throws Error naming the entry that is not a network.
 */
export function parseEgressNetworks(list: string): EgressNetworks {
  const v4: [ipaddr.IPv4, number][] = [];
  const v6: [ipaddr.IPv6, number][] = [];
  for (const entry of list.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    const [address, bits] = parseNetwork(entry);
    if (address instanceof ipaddr.IPv4) v4.push([address, bits]);
    else v6.push([address, bits]);
  }
  return { v4, v6, empty: v4.length === 0 && v6.length === 0 };
}

/**
 * The networks of such a list in one spelling each, as CIDR blocks, IPv4 first.
 *
 * @throws Error naming the entry that is not a network
 */
export function networksIn(list: string): string[] {
  const { v4, v6 } = parseEgressNetworks(list);
  return [...v4, ...v6].map(([address, bits]) => `${address.toString()}/${bits}`);
}

function parseNetwork(entry: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const refused = (why: string) =>
    new Error(
      `"${entry}" is not a network: ${why}. Write CIDR blocks separated by commas, such as 10.1.0.0/16,fd00::/8.`,
    );
  const [address = '', prefix, ...rest] = entry.split('/');
  const parsed = parseIp(address);
  if (parsed === null || rest.length > 0) throw refused('its address cannot be read');
  const width = parsed.kind() === 'ipv4' ? 32 : 128;
  if (prefix === undefined) return [parsed, width];
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > width) {
    throw refused(`its prefix length is not a number from 0 to ${width}`);
  }
  const bits = Number(prefix);
  const network =
    parsed instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(`${parsed.toString()}/${bits}`)
      : ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/${bits}`);
  // 10.0.0.5/8 allows sixteen million addresses where one was probably meant.
  if (network.toString() !== parsed.toString()) {
    throw refused(`its address has bits set beyond the prefix; did you mean ${network.toString()}/${bits}`);
  }
  return [parsed, bits];
}
