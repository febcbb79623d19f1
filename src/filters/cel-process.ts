import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../common/version.js';
import type { CelJob, CelMessage, CelResult } from './cel-protocol.js';
import { TOO_COSTLY } from './cel-runner.js';

/** It runs what was built, where the rest runs from sources too. */
const PROGRAM = join(PROJECT_ROOT, 'dist', 'src', 'filters', 'cel-main.js');
/** An expression by which the process has died is not tried again for so long. */
const REST_MS = 30_000;
const MAX_RESTING = 10_000;

interface Pending {
  done: (results: CelResult[]) => void;
  failed: (error: Error) => void;
}

/** The process has died while a job was with it: by that job, or by another one. */
class Died extends Error {}

/**
 * Runs CEL in a process of its own. Its threads are killed when they take too long, but memory may run out so suddenly that
 * a thread takes its process along; this one is then started anew, and what it had is tried again one by one, so that the
 * expression to blame is the only one that fails. It is started when there is something to run, and has no secrets.
 */
export class CelProcess {
  private child: ChildProcess | null = null;
  private isReady = false;
  private closed = false;
  private lastId = 0;
  private readonly pending = new Map<number, Pending>();
  /** Until when, by owner and expression. */
  private readonly resting = new Map<string, number>();
  /** What is tried alone, one after the other. */
  private trials: Promise<unknown> = Promise.resolve();
  private trialsLeft = 0;

  /** @param node path of what runs its program */
  constructor(private readonly node = process.execPath) {}

  /** Of the process that runs now; undefined while none does. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /**
   * Evaluates every expression for one event. What goes wrong with one is its result alone.
   *
   * @param owner whose expressions they are
   * @param event as JSON
   * @throws when the process cannot be started
   */
  async run(owner: string, event: string, sources: readonly string[]): Promise<CelResult[]> {
    const willing = sources.filter((source) => !this.rests(owner, source));
    const results = willing.length === 0 ? [] : await this.runAll(owner, event, willing);
    const bySource = new Map(willing.map((source, index) => [source, results[index]]));
    return sources.map((source) => bySource.get(source) ?? TOO_COSTLY);
  }

  async close(): Promise<void> {
    this.closed = true;
    const { child } = this;
    if (!child) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  private async runAll(owner: string, event: string, sources: readonly string[]): Promise<CelResult[]> {
    while (this.trialsLeft > 0) await this.trials;
    try {
      return await this.ask(owner, event, sources);
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
    const results: CelResult[] = [];
    for (const source of sources) results.push(await this.alone(() => this.runAlone(owner, event, source)));
    return results;
  }

  private async runAlone(owner: string, event: string, source: string): Promise<CelResult> {
    if (this.rests(owner, source)) return TOO_COSTLY;
    try {
      const [result] = await this.ask(owner, event, [source]);
      return result ?? TOO_COSTLY;
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      if (this.resting.size >= MAX_RESTING) this.resting.clear();
      this.resting.set(`${owner} ${source}`, Date.now() + REST_MS);
      return TOO_COSTLY;
    }
  }

  private async alone<Result>(work: () => Promise<Result>): Promise<Result> {
    this.trialsLeft += 1;
    const trial = this.trials.then(work).finally(() => {
      this.trialsLeft -= 1;
    });
    this.trials = trial.catch(() => undefined);
    return trial;
  }

  private rests(owner: string, source: string): boolean {
    const until = this.resting.get(`${owner} ${source}`);
    return until !== undefined && until > Date.now();
  }

  private ask(owner: string, event: string, sources: readonly string[]): Promise<CelResult[]> {
    if (this.closed) return Promise.reject(new Error('closed'));
    const child = this.child ?? this.start();
    if (child.pid === undefined) return Promise.reject(new Error('CEL cannot be run'));
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((done, failed) => {
      this.pending.set(id, { done, failed });
      // Why it cannot be sent is that the process has ended, which its exit tells.
      child.send({ id, owner, event, sources } satisfies CelJob, () => undefined);
    });
  }

  private start(): ChildProcess {
    const child = fork(PROGRAM, {
      env: {},
      execPath: this.node,
      execArgv: ['--max-old-space-size=256'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.on('error', () => undefined);
    // It never exits, since it was not started.
    if (child.pid === undefined) return child;
    child.unref();
    child.channel?.unref();
    child.on('message', (message) => this.hear(message as CelMessage));
    child.once('exit', () => this.gone());
    this.child = child;
    return child;
  }

  private hear(message: CelMessage): void {
    if (message === 'ready') {
      this.isReady = true;
      return;
    }
    const pending = this.pending.get(message.id);
    this.pending.delete(message.id);
    if ('results' in message) pending?.done(message.results);
    else pending?.failed(new Error(message.failure));
  }

  private gone(): void {
    const error = this.isReady && !this.closed ? new Died() : new Error('CEL cannot be run');
    this.child = null;
    this.isReady = false;
    const left = [...this.pending.values()];
    this.pending.clear();
    for (const { failed } of left) failed(error);
  }
}
