import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below the range that systems take ports of outgoing connections from: a server that restarts finds its own port free. */
const FIRST = 20_000;
const LAST = 32_000;
const TRIES = 200;

/** True when a server could listen on this port of the loopback address. */
export async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

export async function freePort(except: ReadonlySet<number> = new Set()): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST, LAST);
    if (!except.has(port) && (await isPortFree(port))) return port;
  }
  throw new Error(`no free port found between ${FIRST} and ${LAST}`);
}
