import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { removeDataFolder } from '../setup/test-servers.js';
import { PosthornProcess } from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { until } from '../support/until.js';

describe('the program with its embedded servers', () => {
  let dataDir: string;
  const running: PosthornProcess[] = [];
  const receivers: Receiver[] = [];

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'posthorn-process-'));
    await chmod(dataDir, 0o711);
  });
  afterEach(async () => {
    for (const each of running.splice(0)) await each.end('SIGTERM');
    for (const each of receivers.splice(0)) await each.stop();
    await removeDataFolder(dataDir);
  });

  const start = async (env: Record<string, string> = {}) => {
    const started = await PosthornProcess.start({ POSTHORN_DATA_DIR: dataDir, ...env });
    running.push(started);
    return started;
  };

  /** Processes that have this data folder on their command line: the embedded servers. */
  const servers = (): number[] => {
    const folders = [dataDir, realpathSync(join(dataDir, 'postgres'))];
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
          return folders.some((folder) => line.includes(folder));
        } catch {
          return false;
        }
      })
      .map(Number);
  };

  const call = async (posthorn: PosthornProcess, path: string, body?: unknown) => {
    const key = readFileSync(join(dataDir, 'operator-key'), 'utf8').trim();
    const response = await fetch(`${posthorn.url}/v1${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as { id: string; data: { status: string; attemptCount: number }[] };
  };

  it('says where everything is, shows the key once, and a command that works when pasted', async () => {
    const first = await start();
    const printed = await until(
      () => first.printed,
      (text) => text.includes('npm run demo'),
    );
    expect(printed).toContain(`${first.url}/docs`);
    expect(printed).toMatch(/Temporal UI +http:\/\/127\.0\.0\.1:\d+/);
    expect(printed).toContain(dataDir);
    expect(printed).toMatch(/Operator key +phk_/);
    const paste = (text: string) => {
      const [command] = /curl .*/.exec(text) ?? [];
      return JSON.parse(execFileSync('sh', ['-c', command ?? 'false'], { encoding: 'utf8' })) as {
        name: string;
      };
    };
    expect(paste(printed).name).toBe('Acme');
    expect(await first.end('SIGTERM')).toBe(0);
    expect(servers()).toEqual([]);
    // One that a server of its own had before.
    const ports = JSON.parse(readFileSync(join(dataDir, 'ports.json'), 'utf8')) as Record<string, number>;
    const port = String(ports['temporal-http']);
    const second = await start({ POSTHORN_PORT: port });
    expect(new URL(second.url).port).toBe(port);
    const again = await until(
      () => second.printed,
      (text) => text.includes('npm run demo'),
    );
    expect(again).not.toMatch(/Operator key/);
    expect(paste(again).name).toBe('Acme');
  });

  it('loses nothing when everything is killed at once', async () => {
    const receiver = await Receiver.answering(500);
    receivers.push(receiver);
    const first = await start();
    const account = await call(first, '/accounts', { name: 'Acme' });
    await call(first, `/accounts/${account.id}/endpoints`, { url: receiver.url, retrySchedule: [5, 5, 5] });
    const events = Array.from({ length: 20 }, (_, index) => ({ type: 'a.b', data: index }));
    await call(first, `/accounts/${account.id}/events/batch`, { events });
    await until(
      () => call(first, `/accounts/${account.id}/deliveries?limit=250`),
      ({ data }) => data.some(({ attemptCount }) => attemptCount === 1),
    );
    const pids = servers();
    expect(pids.length).toBeGreaterThan(1);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await first.end('SIGKILL');
    receiver.answers((response) => response.end());
    const second = await start();
    const log = await until(
      () => call(second, `/accounts/${account.id}/deliveries?limit=250`),
      ({ data }) => data.length === 20 && data.every(({ status }) => status === 'delivered'),
      90_000,
    );
    expect(Math.max(...log.data.map(({ attemptCount }) => attemptCount))).toBeGreaterThan(1);
  });

  it('says which setting to change when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(start({ POSTHORN_PORT: String(port) })).rejects.toThrow(
      `Port ${port} is taken. Set POSTHORN_PORT`,
    );
    expect(servers()).toEqual([]);
    other.close();
  });

  it('ends when its database cannot be reached, so that whoever supervises it starts it again', async () => {
    const env = {
      POSTHORN_DATABASE_URL: 'postgres://posthorn:none@127.0.0.1:1/posthorn',
      POSTHORN_TEMPORAL_ADDRESS: '127.0.0.1:1',
      POSTHORN_ENCRYPTION_KEYS: KeyRing.generate(),
    };
    await expect(start(env)).rejects.toThrow(/ended with 1[\s\S]*ECONNREFUSED 127\.0\.0\.1:1/);
  });

  it('gives one clear line for each bad setting and exits with 1', async () => {
    await expect(start({ POSTHORN_PORT: 'many', POSTHORN_LANE: 'scenic' })).rejects.toThrow(
      /ended with 1[\s\S]*POSTHORN_PORT: must be a whole number[\s\S]*POSTHORN_LANE: /,
    );
  });

  it('drains an attempt under way before it stops, whatever connections stay open, and stops at once when told twice', async () => {
    let release: () => void = () => undefined;
    const receiver = await Receiver.start((response) => {
      release = () => void response.end();
    });
    receivers.push(receiver);
    const first = await start();
    const account = await call(first, '/accounts', { name: 'Acme' });
    await call(first, `/accounts/${account.id}/endpoints`, { url: receiver.url });
    await call(first, `/accounts/${account.id}/events`, { type: 'a.b', data: 1 });
    await receiver.got(1);
    const { port, hostname } = new URL(first.url);
    const silent = ['', 'POST /v1/accounts HTTP/1.1\r\nHost: x\r\n'].map((text) => {
      const socket = connect(Number(port), hostname);
      socket.write(text);
      return once(socket, 'close');
    });
    await call(first, '/accounts');
    // As npm does it: the terminal has told us already.
    process.kill(first.pid, 'SIGINT');
    const ended = first.end('SIGTERM');
    await until(
      () => first.printed,
      (text) => text.includes('Stopping'),
    );
    release();
    expect(await ended).toBe(0);
    await Promise.all(silent);
    const second = await start();
    const log = await call(second, `/accounts/${account.id}/deliveries`);
    expect(log.data).toMatchObject([{ status: 'delivered', attemptCount: 1 }]);
    await call(second, `/accounts/${account.id}/events`, { type: 'a.b', data: 1 });
    await receiver.got(2);
    process.kill(second.pid, 'SIGINT');
    await until(
      () => second.printed,
      (text) => text.includes('Stopping'),
    );
    // One that comes at once is the same.
    const again = setInterval(() => process.kill(second.pid, 'SIGINT'), 200);
    expect(await second.end('SIGINT')).toBe(130);
    clearInterval(again);
    await until(servers, (pids) => pids.length === 0);
  });
});
