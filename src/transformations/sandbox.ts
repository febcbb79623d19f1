import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PROJECT_ROOT } from '../common/version.js';
import type { Job, JobResult } from './run.js';
import { spentSince } from '../common/processor-time.js';
import { BOUNDS } from './transformation.js';
import { Turns, type Waiting } from './turns.js';

/** As the build has it: a thread reads no TypeScript. */
const ENTRY = join(PROJECT_ROOT, 'dist', 'src', 'transformations', 'sandbox-thread.js');

/** Of processor time, for a thread that does not notice by itself that its time is over. */
const KILL_AFTER_MS = 3 * BOUNDS.runMs;
const LOOK_EVERY_MS = BOUNDS.runMs;
/** By the clock, whatever the thread has had of it. */
const GIVEN_UP_AFTER_MS = 10_000;
const START_WITHIN_MS = 20_000;
/** Past it, whoever waits is better served by coming back. */
const WAIT_MS = 5_000;
const MAX_WAITING = 5_000;
const MAX_WAITING_EACH = 200;
/** Of V8's own heap; the interpreter's memory is beside it. */
const HEAP_MIB = 64;

/** There is more to run than there are threads for: nothing was run. */
export class SandboxBusyError extends Error {
  constructor() {
    super('transformations wait for too long');
    this.name = 'SandboxBusyError';
  }
}

interface Asked extends Waiting {
  job: Job;
  resolve: (result: JobResult) => void;
  reject: (error: Error) => void;
  late: NodeJS.Timeout | undefined;
  /** Its time was over once. */
  isSecond: boolean;
}

/**
 * Runs what customers wrote on threads that can be killed. A thread that does not end in time, or whose interpreter is
 * broken, is replaced; nothing of it is used again.
 */
export class Sandbox {
  private readonly places = Math.min(4, Math.max(2, availableParallelism()));
  private readonly turns = new Turns<Asked>(this.places);
  private readonly threads = new Set<Thread>();
  private readonly idle: Thread[] = [];
  private starting = 0;
  private closed = false;

  /**
   * @param owner UUIDs: who takes turns with whom
   * @throws SandboxBusyError; any other error is a failure of ours
   */
  run(job: Job, owner: Waiting): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      const asked: Asked = { ...owner, job, resolve, reject, late: undefined, isSecond: false };
      if (
        this.closed ||
        this.turns.size >= MAX_WAITING ||
        this.turns.waitingWith(owner) >= MAX_WAITING_EACH
      ) {
        reject(new SandboxBusyError());
        return;
      }
      this.enqueue(asked);
      this.pump();
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const asked of this.turns.clear()) {
      clearTimeout(asked.late);
      asked.reject(new SandboxBusyError());
    }
    await Promise.all([...this.threads].map((thread) => thread.stop()));
  }

  private giveUp(asked: Asked): void {
    if (this.turns.remove(asked)) asked.reject(new SandboxBusyError());
  }

  private pump(): void {
    for (;;) {
      if (this.turns.size === 0 || this.closed) return;
      const thread = this.idle.pop();
      if (!thread) break;
      const turn = this.turns.take(Date.now());
      if (!turn) {
        this.idle.push(thread);
        return;
      }
      void this.runOn(thread, turn.item).finally(() => {
        turn.free();
        this.pump();
      });
    }
    if (this.threads.size < this.places && this.starting < this.turns.size) this.start();
  }

  private async runOn(thread: Thread, asked: Asked): Promise<void> {
    clearTimeout(asked.late);
    let result: JobResult;
    try {
      result = await thread.run(asked.job);
    } catch (error) {
      const detail =
        error instanceof OverdueError ? `ran longer than ${BOUNDS.runMs} ms` : 'needed too much memory';
      result = { ok: false, detail, isSound: false, console: [], durationMs: BOUNDS.runMs };
    }
    if (!this.isTriedAgain(asked, result)) asked.resolve(result);
    if (result.ok || result.isSound) this.idle.push(thread);
    else await this.discard(thread);
  }

  /** On a machine that is busy, time may be over for no fault of the program: what is not known for it has another try. */
  private isTriedAgain(asked: Asked, result: JobResult): boolean {
    if (result.ok || result.durationMs < BOUNDS.runMs) return false;
    const isFirst = !asked.isSecond && !this.turns.isCostly(asked, Date.now());
    if (!isFirst || this.closed) {
      this.turns.wasCostly(asked, Date.now());
      return false;
    }
    asked.isSecond = true;
    this.enqueue(asked);
    return true;
  }

  private enqueue(asked: Asked): void {
    asked.late = setTimeout(() => this.giveUp(asked), WAIT_MS).unref();
    this.turns.push(asked);
  }

  private async discard(thread: Thread): Promise<void> {
    this.threads.delete(thread);
    await thread.stop();
  }

  private start(): void {
    const thread = new Thread();
    this.threads.add(thread);
    this.starting += 1;
    void thread
      .ready()
      .then(
        () => {
          this.idle.push(thread);
        },
        async (error: unknown) => {
          await this.discard(thread);
          // Whoever came first learns of it: it is tried again for the next one.
          const turn = this.turns.take(Date.now());
          if (!turn) return;
          turn.free();
          clearTimeout(turn.item.late);
          turn.item.reject(error instanceof Error ? error : new Error(String(error)));
        },
      )
      .finally(() => {
        this.starting -= 1;
        this.pump();
      });
  }
}

class OverdueError extends Error {}

/** One thread, which does one thing at a time. */
class Thread {
  private readonly worker = new Worker(ENTRY, {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB, maxYoungGenerationSizeMb: 16 },
    // Whatever the process knows is none of the thread's business.
    env: {},
    execArgv: [],
    stdin: true,
    stdout: true,
    stderr: true,
  });
  private ended: Error | undefined;
  /** As the system knows it. */
  private id: number | null = null;

  constructor() {
    this.worker.unref();
    this.worker.on('error', (error) => (this.ended = error));
    this.worker.on('exit', () => (this.ended ??= new Error('the thread has ended')));
  }

  async ready(): Promise<void> {
    this.id = (await this.answer(START_WITHIN_MS, () => false)) as number | null;
  }

  /** @throws OverdueError when it did not end in time; any other error when the thread ended over it */
  run(job: Job): Promise<JobResult> {
    const hasSpent = spentSince(this.id);
    this.worker.postMessage(job);
    return this.answer(GIVEN_UP_AFTER_MS, () => hasSpent(KILL_AFTER_MS)) as Promise<JobResult>;
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }

  /** @param isOver asked now and then */
  private answer(withinMs: number, isOver: () => boolean): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.ended) {
        reject(this.ended);
        return;
      }
      const startedAt = performance.now();
      const settle = (done: () => void) => {
        clearInterval(timer);
        this.worker.off('message', onMessage).off('error', onEnd).off('exit', onEnd);
        done();
      };
      const onMessage = (message: unknown) => settle(() => resolve(message));
      const onEnd = () => settle(() => reject(this.ended ?? new Error('the thread has ended')));
      const judge = () => {
        if (isOver() || performance.now() - startedAt > withinMs)
          settle(() => reject(new OverdueError('did not answer')));
      };
      // When this thread was busy itself, what has come meanwhile is heard first.
      const timer = setInterval(() => setImmediate(judge), LOOK_EVERY_MS);
      this.worker.on('message', onMessage).on('error', onEnd).on('exit', onEnd);
    });
  }
}
