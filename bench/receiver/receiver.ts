import { freePort } from '../../src/embedded/ports.js';
import type { Begun } from '../load/load.js';
import { Subprocess } from '../processes/subprocess.js';
import type { Behaviour } from './behaviour.js';
import type { Collected } from './ledger.js';
import type { ReceiverCommands } from './receiver-process.js';

const STALLED_AFTER_MS = 60_000;

/** Where everything is delivered to: notes when each `webhook-id` first arrived, in a process of its own. */
export class Receiver {
  private constructor(
    private readonly process: Subprocess<ReceiverCommands>,
    private readonly port: number,
  ) {}

  static async open(): Promise<Receiver> {
    const process = await Subprocess.start<ReceiverCommands>(
      new URL('./receiver-process.js', import.meta.url),
    );
    return new Receiver(process, await process.call('listen', 0));
  }

  get pid(): number {
    return this.process.pid;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** A port of its own, which refuses connections until it is healed. */
  async openDead(): Promise<{ origin: string; heal: () => Promise<void> }> {
    const port = await freePort();
    return {
      origin: `http://127.0.0.1:${port}`,
      heal: async () => {
        await this.process.call('listen', port);
      },
    };
  }

  behave(group: string, behaviour: Behaviour): Promise<void> {
    return this.process.call('behave', { group, behaviour });
  }

  /**
   * Waits for deliveries to arrive, or until none has for a while.
   *
   * @param keys the `webhook-id` of each, followed by what its path has behind the group
   */
  collect(keys: string[], { stalledAfterMs = STALLED_AFTER_MS, settleMs = 0 } = {}): Promise<Collected> {
    return this.process.call('collect', { keys, stalledAfterMs, settleMs });
  }

  /**
   * Waits for all to arrive.
   *
   * @returns when each did
   * @throws Error when some do not
   */
  async collectAll(keys: string[]): Promise<number[]> {
    const { atMs } = await this.collect(keys);
    const missing = atMs.filter((at) => Number.isNaN(at)).length;
    if (missing > 0) {
      throw new Error(
        `${missing} of ${keys.length} deliveries are missing, and none came for ${STALLED_AFTER_MS / 1000} s`,
      );
    }
    return atMs;
  }

  /** @returns milliseconds that each took from begin to first arrival */
  async latencies({ ids, atMs }: Begun): Promise<number[]> {
    const arrivedAt = await this.collectAll(ids);
    return arrivedAt.map((at, index) => at - (atMs[index] ?? Number.NaN));
  }

  close(): Promise<void> {
    return this.process.close();
  }
}
