import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nowMs } from '../clock.js';
import { answerCommands } from '../processes/commands.js';
import type { Behaviour } from './behaviour.js';
import { type Collect, Ledger } from './ledger.js';

const HANG_MS = 10_000;
const DRIP_EVERY_MS = 1_000;

const ledger = new Ledger();
const behaviours = new Map<string, Behaviour>();
const hanging = new Set<() => void>();

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '/';
  const end = url.indexOf('/', 1);
  const id = String(request.headers['webhook-id']);
  const key = end === -1 ? id : id + url.slice(end);
  request.resume().on('end', () => {
    switch (behaviours.get(end === -1 ? url.slice(1) : url.slice(1, end)) ?? 'ok') {
      case 'ok':
        ledger.note(key, nowMs());
        response.end('ok');
        return;
      case 'hang':
        hang(key, response);
        return;
      case 'drip':
        drip(response);
        return;
      case 'fail':
        ledger.note(key, nowMs());
        response.writeHead(503).end();
    }
  });
}

function hang(key: string, response: ServerResponse): void {
  const end = () => {
    clearTimeout(timer);
    hanging.delete(end);
    // Whoever gave up before the answer will come again.
    if (response.destroyed) return;
    ledger.note(key, nowMs());
    response.end('ok');
  };
  const timer = setTimeout(end, HANG_MS);
  hanging.add(end);
}

function drip(response: ServerResponse): void {
  response.writeHead(200).write('.');
  const timer = setInterval(() => response.write('.'), DRIP_EVERY_MS);
  response.once('close', () => clearInterval(timer));
}

const commands = {
  /** @returns the port; 0 takes a free one */
  async listen(port: number): Promise<number> {
    const server = createServer({ keepAliveTimeout: 60_000 }, answer);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, '127.0.0.1', 4096, resolve);
    });
    return (server.address() as AddressInfo).port;
  },

  behave({ group, behaviour }: { group: string; behaviour: Behaviour }): Promise<void> {
    behaviours.set(group, behaviour);
    if (behaviour === 'ok') for (const end of [...hanging]) end();
    return Promise.resolve();
  },

  collect: (what: Collect) => ledger.collect(what),
};

export type ReceiverCommands = typeof commands;
answerCommands(commands);
