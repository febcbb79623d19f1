import { setTimeout as wait } from 'node:timers/promises';

/** Reads until `accept` likes what was read: for states that can only be asked for. */
export async function until<Value>(
  read: () => Promise<Value> | Value,
  accept: (value: Value) => boolean,
  withinMs = 30_000,
  everyMs = 20,
): Promise<Value> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await read();
    if (accept(value)) return value;
    if (Date.now() > deadline) throw new Error(`still not so after ${withinMs} ms: ${JSON.stringify(value)}`);
    await wait(everyMs);
  }
}
