import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * Reads an IP address in its usual form: IPv4 as four decimal numbers, IPv6 as RFC 4291 §2.2 has it, without brackets.
 * Null for anything else, for IPv6 zones (`fe80::1%eth0`) too: which network interface to use is not for a customer to choose.
 *
 * ipaddr.js alone would read `127.1`, `0x7f.1` and `010.0.0.1`, and takes `::127.0.0.1` for `::ffff:127.0.0.1`.
 */
export function parseIp(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  const family = text.includes('%') ? 0 : isIP(text);
  if (family === 0) return null;
  if (family === 4) return ipaddr.IPv4.parse(text);
  return ipaddr.IPv6.parse(
    text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
      const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
      return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
    }),
  );
}
