import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { buildConnector } from 'undici';
import { isAllowed, tlsOptions } from './connector.js';
import type { ConnectorOptions, Destination, Progress } from './connector.js';
import { authority } from './egress-proxy.js';
import { deadline } from './deadline.js';
import { connectFault, ReceiverFault, TransportFault } from './failures.js';
import { type ProxyLine, silent, unreachable } from './proxy-line.js';

/** Header of the proxy's answer, in bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

/** How long the proxy may take over one of several addresses, in milliseconds, before it is asked for the next. */
const NEXT_ADDRESS_MS = 1000;

/**
 * Opens connections through the egress proxy, to the checked addresses of one destination and to nothing else: CONNECT
 * names an address, so the proxy has nothing to look up and a name server nobody to answer otherwise. Only a destination
 * without addresses, whose name is the proxy's to resolve, is asked for by its name.
 *
 * TLS to the receiver is spoken inside the tunnel, so the proxy sees no request, and the certificate is verified against
 * the host of the URL as it is without a proxy.
 */
export function tunnelConnector(
  destination: Destination,
  { allow, connectTimeoutMs, tls }: ConnectorOptions,
  line: ProxyLine,
  progress: Progress,
): buildConnector.connector {
  const session: { ticket?: Buffer } = {};
  return ({ hostname, protocol, port }, callback) => {
    const targetPort = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
    const hosts = destination.addresses.length > 0 ? [...destination.addresses] : [hostname];
    let socket: Socket | undefined;
    let abandon: () => void = () => undefined;
    let nextTimer: NodeJS.Timeout | undefined;
    let stage: 'proxy' | 'connect' | 'tls' = 'proxy';
    let settled = false;

    const enter = (next: typeof stage) => {
      if (stage === 'proxy' && next !== 'proxy') progress.atProxy -= 1;
      if (stage !== 'proxy' && next === 'proxy') progress.atProxy += 1;
      if (stage !== 'tls' && next === 'tls') progress.stand();
      if (stage === 'tls' && next !== 'tls') progress.leave();
      stage = next;
    };
    const settle = (error: Error | null) => {
      if (settled) return;
      settled = true;
      inTime();
      clearTimeout(nextTimer);
      abandon();
      enter('connect');
      if (error === null && socket !== undefined) {
        callback(null, socket);
      } else {
        socket?.destroy();
        callback(error ?? unreachable(), null);
      }
    };
    const beganAt = performance.now();
    const inTime = deadline(connectTimeoutMs, () => {
      if (stage === 'proxy') settle(unreachable());
      else if (stage === 'connect' && line.isSilentSince(beganAt)) settle(silent());
      else
        settle(
          new ReceiverFault(
            'connect_timeout',
            stage === 'tls'
              ? `The TLS handshake was not finished within ${connectTimeoutMs} ms.`
              : `No connection came about within ${connectTimeoutMs} ms.`,
          ),
        );
    });

    const secure = (tunnel: Socket) => {
      if (protocol !== 'https:') {
        settle(null);
        return;
      }
      enter('tls');
      socket = connectTls({
        ...tlsOptions(hostname, destination.credentials?.context ?? tls, session),
        socket: tunnel,
      })
        .once('secureConnect', () => settle(null))
        .on('session', (ticket) => {
          session.ticket = ticket;
        })
        // Stays for the life of the socket: an error event nobody listens to ends the process.
        .on('error', (error: Error) => {
          settle(connectFault(error, true));
          // As in pinnedConnector: what undici hears next would be taken for the reason.
          socket?.destroy();
        })
        .once('close', () => settle(new ReceiverFault('tls_handshake_failed')));
    };

    const tryNext = () => {
      clearTimeout(nextTimer);
      const host = hosts.shift() ?? '';
      if (destination.addresses.length > 0 && !isAllowed(host, destination, allow)) {
        settle(new ReceiverFault('address_refused', 'The connection led to an address that is not allowed.'));
        return;
      }
      enter('proxy');
      const attempt = openTunnel(line, authority(host, targetPort), {
        asked: () => enter('connect'),
        opened: (error) => {
          if (settled || socket !== attempt.socket) return;
          if (error === null) {
            clearTimeout(nextTimer);
            secure(attempt.socket);
          } else if (
            hosts.length > 0 &&
            error instanceof ReceiverFault &&
            error.code === 'proxy_connect_failed'
          )
            tryNext();
          else settle(error);
        },
      });
      ({ socket, abandon } = attempt);
      if (hosts.length === 0) return;
      nextTimer = setTimeout(() => {
        abandon();
        attempt.socket.destroy();
        tryNext();
      }, NEXT_ADDRESS_MS);
    };
    progress.atProxy += 1;
    tryNext();
  };
}

interface TunnelEvents {
  /** CONNECT is on its way. */
  asked: () => void;
  /** Told once, with null when what is written from now on reaches the target. */
  opened: (error: Error | null) => void;
}

/** One connection to the proxy and one CONNECT on it. */
function openTunnel(
  line: ProxyLine,
  target: string,
  { asked, opened }: TunnelEvents,
): { socket: Socket; abandon: () => void } {
  let answered: () => void = () => undefined;
  let told = false;
  const tell = (error: Error | null) => {
    if (told) return;
    told = true;
    answered();
    socket.removeListener('readable', read);
    if (error !== null) socket.destroy();
    opened(error);
  };
  let head = '';
  let room = MAX_HEAD_BYTES;
  const read = () => {
    for (let chunk = take(socket); chunk !== null; chunk = take(socket)) {
      line.heard();
      head += chunk.toString('latin1');
      for (let end = head.indexOf('\r\n\r\n'); end >= 0 && end <= room; end = head.indexOf('\r\n\r\n')) {
        const outcome = outcomeOf(head.slice(0, end));
        head = head.slice(end + 4);
        room -= end;
        if (outcome === 'interim') continue;
        // Whoever is behind the tunnel may have spoken already.
        if (outcome === null && head !== '') socket.unshift(Buffer.from(head, 'latin1'));
        tell(outcome);
        return;
      }
      if (head.length > room) {
        tell(
          new TransportFault(`The egress proxy answered with a header of more than ${MAX_HEAD_BYTES} bytes.`),
        );
        return;
      }
    }
  };
  const ended = () => tell(new TransportFault('The egress proxy ended the connection without an answer.'));
  const socket = line.connect((error) => {
    if (error !== null) {
      tell(error);
      return;
    }
    asked();
    answered = line.asked();
    socket.on('readable', read).once('end', ended).once('error', ended).once('close', ended);
    socket.write(line.request(target));
  });
  return {
    socket,
    abandon: () => {
      told = true;
      answered();
    },
  };
}

const take = (socket: Socket) => socket.read() as Buffer | null;

/**
 * What the proxy's answer to CONNECT means: null for a tunnel. That a receiver could not be reached is the receiver's
 * failure, what the proxy asks of us is ours. 500 is what some proxies answer where others answer 502.
 */
function outcomeOf(head: string): Error | 'interim' | null {
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?![^ \r])/.exec(head)?.[1] ?? 0);
  if (status >= 100 && status < 200 && status !== 101) return 'interim';
  if (status >= 200 && status < 300) return null;
  // Smokescreen answers so to what its own rules refuse.
  const refused = status === 403 || (status === 407 && /^x-smokescreen-error:/im.test(head));
  if (refused) return new ReceiverFault('proxy_refused');
  switch (status) {
    case 500:
    case 502:
    case 503:
    case 504:
      return new ReceiverFault('proxy_connect_failed', `The egress proxy answered ${status} to CONNECT.`);
    case 407:
      return new TransportFault('The egress proxy wants other credentials.');
    default:
      return new TransportFault(
        status === 0
          ? 'What the egress proxy answered is not HTTP/1.'
          : `The egress proxy answered ${status} to CONNECT.`,
      );
  }
}
