import { parseIp } from '../transport/ip-text.js';

/**
 * Whom an address stands for when failures are counted: IPv4 for itself, IPv6 for its /64, which one customer of a
 * provider has for himself (RFC 6177 §2) and may send from any address of.
 *
 * @param address as the socket has it, `::ffff:192.0.2.1` too; undefined where it is gone already
 */
export function sourceOf(address: string | undefined): string {
  if (address === undefined) return '';
  if (!address.includes(':')) return address;
  // The zone of a link-local address is no part of it.
  const parsed = parseIp(address.split('%', 1)[0] ?? '');
  if (parsed?.kind() !== 'ipv6') return address;
  const ip = parsed as Extract<typeof parsed, { parts: number[] }>;
  if (ip.isIPv4MappedAddress()) return ip.toIPv4Address().toString();
  return `${ip.parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
