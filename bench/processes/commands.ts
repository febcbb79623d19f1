/** What a process of the bench does when asked: each command takes one argument. */
export type Commands<C> = Record<keyof C, (argument: never) => Promise<unknown>>;

export interface Call {
  number: number;
  command: string;
  argument: unknown;
}

export type Answer = { number: number; result: unknown } | { number: number; error: string };

/** Answers the commands of the process that forked this one, and ends with it. */
export function answerCommands<C extends Commands<C>>(commands: C): void {
  const answer = async ({ number, command, argument }: Call): Promise<Answer> => {
    try {
      const run: (argument: never) => Promise<unknown> = commands[command as keyof C];
      return { number, result: await run(argument as never) };
    } catch (error) {
      return { number, error: (error as Error).message };
    }
  };
  process.on('message', (call: Call) => void answer(call).then((message) => process.send?.(message)));
  // A Ctrl-C in the terminal reaches this process too; when to end is its parent's to say.
  process.on('SIGINT', () => undefined);
  process.once('disconnect', () => process.exit());
  process.send?.({ number: 0, result: undefined } satisfies Answer);
}
