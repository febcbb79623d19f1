import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fchmodSync, openSync, renameSync, statSync, truncateSync, copyFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedError } from './embedded-error.js';
import { lastWords, longStep, type Progress } from './long-step.js';
import { endProcess, type StopSignals } from './processes.js';

export interface ServerDefinition {
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** The operating system's user that it runs as, when not this one. */
  user?: { uid: number; gid: number };
  logPath: string;
  stopSignals: StopSignals;
  /** Ends it at once, without leaving children of its own behind. */
  killSignal: NodeJS.Signals;
  readyWithinMs: number;
  isReady: () => Promise<boolean>;
  /** Before each start: ends what an earlier run left behind. */
  prepare: () => Promise<void>;
}

export interface ServerEvents {
  progress: Progress;
  /** It ended without having been told to; it is started again. */
  onExit: (server: string, how: string) => void;
}

const READY_POLL_MS = 50;
const RESTART_FIRST_MS = 250;
const RESTART_MOST_MS = 10_000;
const LOG_BYTES = 16 * 1024 * 1024;
const LOG_CHECK_MS = 60_000;

/**
 * One server as a child process: apart from the terminal, so that Ctrl-C reaches only us and we stop it in order; started
 * again when it dies; and ended by a watchdog when we are killed.
 */
export class ServerProcess {
  private child: ChildProcess | undefined;
  private stopping = false;
  private reviving: Promise<void> | undefined;
  private readonly logTimer: NodeJS.Timeout;

  private constructor(
    private readonly definition: ServerDefinition,
    private readonly events: ServerEvents,
  ) {
    this.logTimer = setInterval(() => boundLog(definition.logPath, LOG_BYTES), LOG_CHECK_MS).unref();
  }

  /** @throws EmbeddedError `server_start_failed` with the last lines of its log */
  static async start(definition: ServerDefinition, events: ServerEvents): Promise<ServerProcess> {
    const server = new ServerProcess(definition, events);
    boundLog(definition.logPath, 0);
    try {
      await longStep(events.progress, `starting ${definition.name}`, () => server.launch());
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    clearInterval(this.logTimer);
    await this.endChild();
    await this.reviving;
    await this.endChild();
  }

  /** At once and synchronously; the data survives as after a crash. */
  kill(): void {
    this.stopping = true;
    clearInterval(this.logTimer);
    this.child?.kill(this.definition.killSignal);
  }

  private async endChild(): Promise<void> {
    const { child } = this;
    if (child?.pid === undefined || hasEnded(child)) return;
    // While it runs it keeps nobody waiting; its end is waited for, also when nothing else is left to do.
    child.ref();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await endProcess(child.pid, this.definition.stopSignals);
    await ended;
  }

  private async launch(): Promise<void> {
    const { name, logPath, readyWithinMs, isReady, prepare } = this.definition;
    await prepare();
    if (this.isStopping()) return;
    const child = await this.spawn();
    const deadline = Date.now() + readyWithinMs;
    while (!(await isReady())) {
      if (hasEnded(child) || Date.now() > deadline || this.isStopping()) {
        const what = hasEnded(child)
          ? `ended at once (${howEnded(child)})`
          : `does not answer after ${readyWithinMs / 1000} s`;
        await this.endChild();
        const log = lastWords(await readFile(logPath, 'utf8').catch(() => ''));
        throw new EmbeddedError(
          'server_start_failed',
          `${name} ${what}. Its log, ${logPath}, ends: ${log || '(empty)'}`,
        );
      }
      await sleep(READY_POLL_MS);
    }
    if (hasEnded(child))
      throw new EmbeddedError('server_start_failed', `${name} ended at once (${howEnded(child)})`);
    child.once('exit', () => this.onUnexpectedExit(child));
  }

  private async spawn(): Promise<ChildProcess> {
    const { command, args, env, cwd, user, logPath } = this.definition;
    const log = openSync(logPath, 'a', 0o600);
    fchmodSync(log, 0o600);
    const child = spawn(command, args, { env, cwd, ...user, detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) =>
        reject(
          new EmbeddedError(
            'server_start_failed',
            `${this.definition.name}: cannot run ${command}: ${error.message}`,
            {
              cause: error,
            },
          ),
        ),
      );
    });
    child.unref();
    this.child = child;
    this.watch(child);
    return child;
  }

  /** However we end, the pipe to this shell closes then, and it ends the server. */
  private watch(child: ChildProcess): void {
    const [[signal] = ['SIGTERM']] = this.definition.stopSignals;
    const script =
      'read -r _; kill -s "$1" "$2"; n=0; while kill -0 "$2" && [ $n -lt 15 ]; do sleep 1; n=$((n+1)); done; kill -s KILL "$2"';
    const args = ['-c', script, 'posthorn-watchdog', signal.slice('SIG'.length), String(child.pid)];
    const watchdog = spawn('/bin/sh', args, {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    watchdog.on('error', () => undefined);
    watchdog.stdin.on('error', () => undefined);
    watchdog.unref();
    (watchdog.stdin as Socket).unref();
    child.once('exit', () => watchdog.kill('SIGKILL'));
  }

  private onUnexpectedExit(child: ChildProcess): void {
    if (this.stopping) return;
    this.events.onExit(this.definition.name, howEnded(child));
    this.reviving = this.revive().finally(() => {
      this.reviving = undefined;
    });
  }

  private async revive(): Promise<void> {
    for (let delay = RESTART_FIRST_MS; !this.isStopping(); delay = Math.min(delay * 2, RESTART_MOST_MS)) {
      try {
        await this.launch();
        if (!this.isStopping()) this.events.progress(`${this.definition.name} serves again`);
        return;
      } catch (error) {
        if (!this.isStopping()) this.events.progress((error as Error).message);
        await this.pause(delay);
      }
    }
  }

  private async pause(ms: number): Promise<void> {
    const until = Date.now() + ms;
    while (!this.stopping && Date.now() < until) await sleep(READY_POLL_MS);
  }

  /** A method, since it changes while others are awaited. */
  private isStopping(): boolean {
    return this.stopping;
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;
const howEnded = (child: ChildProcess): string => child.signalCode ?? `code ${child.exitCode ?? '?'}`;

/** Keeps the last log beside the new one. A running server appends to the file it has open, so that one is emptied in place. */
function boundLog(path: string, most: number): void {
  try {
    if (statSync(path).size <= most) return;
    if (most === 0) renameSync(path, `${path}.1`);
    else {
      copyFileSync(path, `${path}.1`);
      truncateSync(path);
    }
  } catch {
    // No log yet.
  }
}
