import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Answer, Call, Commands } from './commands.js';

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/** A process of the bench's own, asked by commands. */
export class Subprocess<C extends Commands<C>> {
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (answer: Answer) => this.settle(answer));
    child.once('exit', (code, signal) => {
      const error = new Error(`a process of the bench ended (${code ?? signal ?? '?'})`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    });
  }

  /** @param options what the process reads from its first argument, as JSON */
  static async start<C extends Commands<C>>(script: URL, options: unknown = {}): Promise<Subprocess<C>> {
    const child = fork(fileURLToPath(script), [JSON.stringify(options)], { serialization: 'advanced' });
    const subprocess = new Subprocess<C>(child);
    await subprocess.answerTo(0);
    return subprocess;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  call<Name extends keyof C & string>(
    command: Name,
    argument: Parameters<C[Name]>[0],
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    this.calls += 1;
    const answer = this.answerTo(this.calls);
    this.child.send({ number: this.calls, command, argument } satisfies Call);
    return answer as Promise<Awaited<ReturnType<C[Name]>>>;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }

  private answerTo(number: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.waiting.set(number, { resolve, reject }));
  }

  private settle(answer: Answer): void {
    const waiting = this.waiting.get(answer.number);
    this.waiting.delete(answer.number);
    if ('error' in answer) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer.result);
  }
}
