import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * A change of the machine that is undone however we end: a shell makes it, and undoes it when the pipe to it closes,
 * which the death of this process does too.
 */
export class PassingChange {
  private constructor(
    private readonly shell: ReturnType<typeof spawnShell>,
    private readonly ended: Promise<unknown>,
  ) {}

  /**
   * @param make,undo shell commands, with `args` as their `"$@"`
   * @throws with what the shell said, when the change cannot be made
   */
  static async make(make: string, undo: string, args: readonly string[]): Promise<PassingChange> {
    const shell = spawnShell(`{ ${make}; } || exit 1; echo made; read -r _; ${undo}`, args);
    const ended = once(shell, 'close');
    let said = '';
    shell.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const made = await Promise.race([once(shell.stdout, 'data').then(() => true), ended.then(() => false)]);
    if (!made) throw new Error(said.trim());
    return new PassingChange(shell, ended);
  }

  async undo(): Promise<void> {
    this.shell.stdin.end();
    await this.ended;
  }
}

function spawnShell(script: string, args: readonly string[]) {
  // Apart from the terminal, so that Ctrl-C does not end it before it has undone anything.
  const shell = spawn('/bin/sh', ['-c', script, 'posthorn-chaos', ...args], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  shell.stdin.on('error', () => undefined);
  return shell;
}
