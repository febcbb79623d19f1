import { connect as connectTcp, isIP } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, SecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import ipaddr from 'ipaddr.js';
import { classifyAddress } from './address-rules.js';
import type { EgressNetworks } from './egress-networks.js';
import { deadline } from './deadline.js';
import { connectFault, ReceiverFault } from './failures.js';
import { parseIp } from './ip-text.js';

/** Where a connection may go. All of it has passed the URL and DNS checks. */
export interface Destination {
  /** `https://host:port`, as URL gives it. */
  origin: string;
  /** Checked addresses, in the order in which they are tried. None where the egress proxy is to resolve the name. */
  addresses: readonly string[];
  onlyAllowedNetworks: boolean;
  /** What this destination is to be reached with instead of what all are; `key` keeps its connections apart. */
  credentials?: { key: string; context: SecureContext };
}

export interface ConnectorOptions {
  allow: EgressNetworks;
  /** Milliseconds for TCP and TLS together. */
  connectTimeoutMs: number;
  tls: SecureContext;
}

/**
 * How long one of several addresses may take, in milliseconds, before the next is tried. Node's own 250 gives up on
 * receivers on the other side of the world.
 */
const NEXT_ADDRESS_MS = 1000;

/** What connections of one destination tell while they come about. */
export interface Progress {
  /** How many have not come further than the egress proxy. */
  atProxy: number;
  /** One stands. */
  stand: () => void;
  /** It is handed over, or gone. */
  leave: () => void;
}

/** @param session the latest ticket, for the next connection to the same receiver */
export function tlsOptions(
  hostname: string,
  secureContext: SecureContext,
  session: { ticket?: Buffer },
): ConnectionOptions {
  return {
    secureContext,
    // Named, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in somebody's shell cannot switch verification off.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    host: hostname,
    // SNI carries names only (RFC 6066 §3).
    ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
    ...(session.ticket === undefined ? {} : { session: session.ticket }),
  };
}

/**
 * Opens connections to the checked addresses of one destination and to nothing else: the name is never looked up again, and
 * the address that the socket says it has reached is checked before a byte is written, TLS greeting included.
 */
export function pinnedConnector(
  destination: Destination,
  { allow, connectTimeoutMs, tls }: ConnectorOptions,
  progress: Progress,
): buildConnector.connector {
  const session: { ticket?: Buffer } = {};
  const lookup: LookupFunction = (_hostname, _options, callback) => {
    // Always a list: Node asks for one wherever several addresses may be tried in turn.
    callback(
      null,
      destination.addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };

  return ({ hostname, protocol, port }, callback) => {
    const target = {
      host: hostname,
      port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
      lookup,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      noDelay: true,
      keepAlive: true,
    };
    const socket: Socket =
      protocol === 'https:'
        ? connectTls({
            ...tlsOptions(hostname, destination.credentials?.context ?? tls, session),
            ...target,
          }).on('session', (ticket) => {
            session.ticket = ticket;
          })
        : connectTcp(target);

    let tcpConnected = false;
    let settled = false;
    const settle = (error: Error | null) => {
      if (settled) return;
      settled = true;
      inTime();
      if (tcpConnected) progress.leave();
      if (error === null) {
        callback(null, socket);
      } else {
        socket.destroy();
        callback(error, null);
      }
    };
    const inTime = deadline(connectTimeoutMs, () => {
      settle(
        new ReceiverFault(
          'connect_timeout',
          tcpConnected
            ? `The TLS handshake was not finished within ${connectTimeoutMs} ms.`
            : `No connection came about within ${connectTimeoutMs} ms.`,
        ),
      );
    });

    socket
      // First in line: TLS has a listener of its own here that sends the greeting.
      .prependOnceListener('connect', () => {
        // One that is given up already is gone from the count.
        if (!settled) progress.stand();
        tcpConnected = true;
        if (!isPinned(socket.remoteAddress, destination, allow)) {
          settle(
            new ReceiverFault('address_refused', 'The connection led to an address that is not allowed.'),
          );
        }
      })
      .once(protocol === 'https:' ? 'secureConnect' : 'connect', () => settle(null))
      // Stays for the life of the socket: an error event nobody listens to ends the process.
      .on('error', (error) => {
        settle(connectFault(error, tcpConnected));
        // TLS tells of an alert and leaves the socket as it is. undici would hear its end next, and take that for the reason.
        socket.destroy();
      })
      .once('close', () =>
        settle(new ReceiverFault(tcpConnected ? 'tls_handshake_failed' : 'connection_closed')),
      );
  };
}

/** The third check. It catches what the first two cannot see: a mistake in them, or in how a connection is made. */
function isPinned(remote: string | undefined, destination: Destination, allow: EgressNetworks): boolean {
  if (remote === undefined || !isAllowed(remote, destination, allow)) return false;
  return destination.addresses.some((address) => plain(address) === plain(remote));
}

/** Whether the rules let a connection of this destination lead to the address. */
export function isAllowed(
  address: string,
  { onlyAllowedNetworks }: Destination,
  allow: EgressNetworks,
): boolean {
  const verdict = classifyAddress(address, allow);
  return verdict.allowed && (!onlyAllowedNetworks || verdict.cleartextAllowed);
}

/** One spelling for one address, undefined for what is none; an IPv4-mapped one is its IPv4 address. */
export function plain(text: string): string | undefined {
  const address = parseIp(text);
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()
    ? address.toIPv4Address().toString()
    : address?.toString();
}
