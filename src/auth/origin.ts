import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { Origin } from './caller.js';

const MAX_USER_AGENT = 256;

/** Fastify knows which proxies are trusted: `POSTHORN_TRUSTED_PROXIES`. */
export function originOf(request: FastifyRequest): Origin {
  return {
    requestId: request.id,
    ip: addressOf(request.ip, request.socket.remoteAddress),
    userAgent: request.headers['user-agent']?.slice(0, MAX_USER_AGENT) ?? null,
  };
}

/**
 * What a proxy forwards may be no address at all; then the proxy's own is what is known.
 *
 * @param forwarded by trusted proxies, or the peer's own
 */
export function addressOf(forwarded: string, peer: string | undefined): string | null {
  const address = isIP(forwarded) === 0 ? peer : forwarded;
  // A socket that listens for both families shows IPv4 as IPv6 (RFC 4291 §2.5.5.2).
  return address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? null;
}
