import { Worker } from 'node:worker_threads';
import { CelProgress, type CelReply, type CelRequest, type CelResult, FAILED, MET } from './cel-protocol.js';
import { steadyMs } from '../common/steady-clock.js';
import { Turns } from '../common/turns.js';

/** For one expression and one event. */
export const BUDGET_MS = 5;
/** On a machine that has too much to do anything may take long: what went over the budget is tried once more with this. */
const SECOND_BUDGET_MS = 200;
/** All expressions of one account for one event. */
const EVENT_BUDGET_MS = 1_000;
/** Expressions that a thread is given at once: others are let in between. */
const CHUNK = 50;
/** What went over its budget twice is not tried again for so long: a thread that is killed costs more than what it did. */
const REST_MS = 30_000;
const MAX_RESTING = 10_000;
const MEMORY = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };

export const TOO_COSTLY: CelResult = {
  kind: 'error',
  error: `the expression takes longer than ${BUDGET_MS} ms, or more memory than it may`,
};

interface Chunk {
  event: string;
  sources: string[];
  budgetMs: number;
  done: (results: Chunked) => void;
  failed: (error: Error) => void;
}

/** @property tookMs how long a thread was busy with it */
interface Chunked {
  results: CelResult[];
  /** Of the expression after the results that went over its budget; null when there is none. */
  overrun: boolean;
  tookMs: number;
}

/**
 * Runs CEL expressions on threads, which are killed and replaced when one of them takes too long. An account has one thread
 * at a time, and accounts take turns. Threads are started when there is something to run.
 */
export class CelRunner {
  private readonly waiting = new Turns<Chunk>();
  private readonly busyOwners = new Set<string>();
  private readonly idle: Worker[] = [];
  private readonly threads = new Set<Worker>();
  /** Until when, by owner and expression. */
  private readonly resting = new Map<string, number>();
  private closed = false;

  /**
   * @param worker the program of a thread
   * @param maxThreads that run at once
   */
  constructor(
    private readonly worker: string | URL,
    private readonly maxThreads: number,
  ) {}

  /** Threads that were killed. */
  killed = 0;

  /**
   * Evaluates every expression for one event. What goes wrong with one is its result alone.
   *
   * @param owner whose expressions they are
   * @param event as JSON
   * @throws when no thread can be had
   */
  async run(owner: string, event: string, sources: readonly string[]): Promise<CelResult[]> {
    const results: CelResult[] = [];
    // Where this process was frozen meanwhile, no more is charged than what was allowed.
    let leftMs = EVENT_BUDGET_MS;
    while (results.length < sources.length) {
      const source = sources[results.length] ?? '';
      if (leftMs <= 0 || this.rests(owner, source)) {
        results.push(TOO_COSTLY);
        continue;
      }
      const end = sources.findIndex((each, index) => index >= results.length && this.rests(owner, each));
      const until = Math.min(end < 0 ? sources.length : end, results.length + CHUNK);
      const part = sources.slice(results.length, until);
      const first = await this.chunk(owner, { event, sources: part, budgetMs: BUDGET_MS });
      results.push(...first.results);
      leftMs -= Math.min(first.tookMs, part.length * BUDGET_MS);
      if (!first.overrun) continue;
      const slow = sources[results.length] ?? '';
      const second = await this.chunk(owner, { event, sources: [slow], budgetMs: SECOND_BUDGET_MS });
      leftMs -= Math.min(second.tookMs, SECOND_BUDGET_MS);
      if (second.overrun) this.rest(owner, slow);
      results.push(second.results[0] ?? TOO_COSTLY);
    }
    return results;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const { failed } of this.waiting.drain()) failed(new Error('closed'));
    await Promise.all([...this.threads].map((thread) => thread.terminate()));
  }

  private rests(owner: string, source: string): boolean {
    const until = this.resting.get(`${owner} ${source}`);
    return until !== undefined && until > Date.now();
  }

  private rest(owner: string, source: string): void {
    if (this.resting.size >= MAX_RESTING) this.resting.clear();
    this.resting.set(`${owner} ${source}`, Date.now() + REST_MS);
  }

  private chunk(owner: string, chunk: Omit<Chunk, 'done' | 'failed'>): Promise<Chunked> {
    if (this.closed) return Promise.reject(new Error('closed'));
    return new Promise((done, failed) => {
      this.waiting.add(owner, { ...chunk, done, failed });
      this.next();
    });
  }

  private next(): void {
    while (this.idle.length > 0 || this.threads.size < this.maxThreads) {
      const taken = this.waiting.take(this.busyOwners);
      if (!taken) return;
      const { owner, item } = taken;
      this.busyOwners.add(owner);
      void this.onThread(this.idle.pop() ?? this.start(), item)
        .then(item.done, item.failed)
        .finally(() => {
          this.busyOwners.delete(owner);
          this.next();
        });
    }
  }

  private start(): Worker {
    const thread = new Worker(this.worker, { resourceLimits: MEMORY });
    thread.unref();
    // What it dies of is told by its end.
    thread.on('error', () => undefined);
    thread.once('exit', () => {
      this.threads.delete(thread);
      const index = this.idle.indexOf(thread);
      if (index >= 0) this.idle.splice(index, 1);
    });
    this.threads.add(thread);
    return thread;
  }

  private onThread(thread: Worker, { event, sources, budgetMs }: Chunk): Promise<Chunked> {
    const progress = new CelProgress(sources.length);
    return new Promise((resolve, reject) => {
      const finish = (count: number, errors: CelReply['errors'], overrun: boolean) => {
        clearTimeout(timer);
        thread.off('message', onReply).off('exit', onExit);
        const results = sources.slice(0, count).map((_, index): CelResult => {
          const state = progress.state(index);
          if (state === FAILED) return { kind: 'error', error: errors[index] ?? 'the expression has failed' };
          return { kind: state === MET ? 'met' : 'unmet' };
        });
        resolve({ results, overrun, tookMs: steadyMs() - progress.receivedAtMs });
      };
      const onReply = ({ errors }: CelReply) => {
        this.idle.push(thread);
        finish(sources.length, errors, false);
      };
      const onExit = () => {
        const { current, receivedAtMs } = progress;
        if (receivedAtMs > 0) finish(current, {}, current < sources.length);
        else {
          clearTimeout(timer);
          reject(new Error('a thread for CEL has ended before it began'));
        }
      };
      const watch = () => {
        const since = progress.startedAtMs;
        if (progress.current < sources.length && since > 0 && steadyMs() - since > budgetMs) {
          this.killed += 1;
          // What it was at is looked at once it has ended, by `exit`.
          void thread.terminate();
          return;
        }
        timer = setTimeout(watch, budgetMs);
      };
      let timer = setTimeout(watch, budgetMs);
      thread.on('message', onReply).on('exit', onExit);
      thread.postMessage({ event, sources, progress: progress.buffer } satisfies CelRequest);
    });
  }
}
