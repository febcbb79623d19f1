import { setTimeout as sleep } from 'node:timers/promises';
import { MicroBatch } from '../common/micro-batch.js';
import { Problem } from '../common/problems.js';
import { SharedRoom } from '../common/shared-room.js';
import { steadyMs } from '../common/steady-clock.js';
import { Tally } from '../common/tally.js';
import type { Published } from './events.schema.js';
import { type JudgedEvent, type NewEvent, ownerOf, type Result, sizeOf } from './new-event.js';

const MAX_PUBLISHES_PER_COMMIT = 100;
/**
 * What may wait for its commit; past this a publisher is told to come back instead of filling memory. Events that come many
 * at once have as much room of their own, so that nobody's batches refuse what others publish one by one.
 */
const MAX_WAITING = { items: 20_000, bytes: 256 * 1024 * 1024 };
/** Publishes that an account may have under way at once without leaving room to others. */
const CALM = 16;
/** For how long an account that does not flood is expected back. */
const CALM_FOR_MS = 10_000;
/** Between the commits of floods while others are here: whoever publishes as fast as it is answered slows down. */
const FLOOD_SPACING_MS = 30;
/** How long many events at once leave to others after their commit, as a multiple of what that took. */
const MANY_REST = { times: 3, mostMs: 1_000 };
/** How long many events at once wait for those under way that are one by one. */
const YIELD = { stepMs: 2, mostMs: 20 };
/**
 * Accounts with thousands of endpoints have commits of their own: each type of event is compared with all of them, which takes
 * long where both are many.
 */
const WIDE_PUBLISHES_PER_COMMIT = 10;
const MAX_BYTES_PER_COMMIT = 8 * 1024 * 1024;

/** Commits events of one account, together with what others publish in the same moment. */
export type Commit = (events: JudgedEvent[]) => Promise<Result[]>;

/** Who is committed with whom and when, so that nobody who publishes much or takes long holds up the others. */
export class CommitQueues {
  private readonly singles: MicroBatch<JudgedEvent[], Result[]>;
  private readonly many: MicroBatch<JudgedEvent[], Result[]>;
  private readonly ofFloods: MicroBatch<JudgedEvent[], Result[]>;
  private readonly ofWide: MicroBatch<JudgedEvent[], Result[]>;
  private readonly manyOfWide: MicroBatch<JudgedEvent[], Result[]>;
  private readonly room = { single: new SharedRoom(MAX_WAITING), many: new SharedRoom(MAX_WAITING) };
  /** Publishes under way, by account. */
  private readonly underWay = new Tally();
  /** When accounts that do not flood published last, the longest ago first. */
  private readonly calmAtMs = new Map<string, number>();
  /** Publishes under way of accounts that do not flood. */
  private calm = 0;

  /**
   * @param commitAll in one statement
   * @param expect that deliveries come which are not to wait for backlogs; what it returns is called once they have
   * @param isWide whether an account has thousands of endpoints
   */
  constructor(
    private readonly commitAll: (publishes: JudgedEvent[][]) => Promise<Result[][]>,
    private readonly expect: () => () => void,
    private readonly isWide: (accountId: string) => boolean,
  ) {
    const queue = (
      options: { maxItems: number; concurrency?: number; spacingMs?: number },
      commit = commitAll,
    ) =>
      new MicroBatch(commit, {
        concurrency: 1,
        weigh: sizeOf,
        maxWeight: MAX_BYTES_PER_COMMIT,
        ownerOf,
        ...options,
      });
    // One commit under way, one being prepared: more only makes the batches smaller.
    this.singles = queue({ maxItems: MAX_PUBLISHES_PER_COMMIT, concurrency: 2, spacingMs: 4 });
    this.ofFloods = queue({ maxItems: MAX_PUBLISHES_PER_COMMIT, spacingMs: FLOOD_SPACING_MS });
    this.ofWide = queue({ maxItems: WIDE_PUBLISHES_PER_COMMIT });
    // Large ones take long, and nobody who publishes one event should wait behind them.
    this.many = queue({ maxItems: 1 }, this.inTurn());
    this.manyOfWide = queue({ maxItems: 1 }, this.inTurn());
  }

  /**
   * Takes the room that the events need for as long as `work` commits them, once or again.
   *
   * @param alone what is not to be committed together with others
   * @throws Problem `unavailable` where there is no room
   */
  async use(
    events: NewEvent[],
    alone: boolean,
    work: (commit: Commit) => Promise<Published[]>,
  ): Promise<Published[]> {
    const isSingle = events.length === 1 && !alone;
    const room = this.room[isSingle ? 'single' : 'many'];
    const accountId = ownerOf(events);
    const amount = { items: events.length, bytes: sizeOf(events) };
    if (!room.enter(accountId, amount)) {
      throw new Problem('unavailable', 'More events are waiting to be committed than this process takes.', {
        retryAfterSeconds: 1,
      });
    }
    this.underWay.add(accountId);
    const isWide = this.isWide(accountId);
    const isCalm = isSingle && !isWide && !this.isFlooding(accountId);
    const arrived = isCalm ? this.expect() : () => undefined;
    if (isCalm) this.calm += 1;
    try {
      const queue = this.queueOf(isSingle, isWide, isCalm);
      return await work((judged) => queue.add(judged));
    } finally {
      arrived();
      if (isCalm) this.calm -= 1;
      room.leave(accountId, amount);
      this.underWay.add(accountId, -1);
    }
  }

  private queueOf(isSingle: boolean, isWide: boolean, isCalm: boolean): MicroBatch<JudgedEvent[], Result[]> {
    if (!isSingle) return isWide ? this.manyOfWide : this.many;
    if (isWide) return this.ofWide;
    return isCalm ? this.singles : this.ofFloods;
  }

  async drained(): Promise<void> {
    await Promise.all(
      [this.singles, this.ofFloods, this.ofWide, this.many, this.manyOfWide].map((queue) => queue.drained()),
    );
  }

  /** Whether the account publishes more at once than others do who are here: it then leaves them room. */
  private isFlooding(accountId: string): boolean {
    const now = steadyMs();
    this.calmAtMs.delete(accountId);
    const othersAreHere = this.othersAreHere(now);
    if (this.underWay.of(accountId) > CALM) return othersAreHere;
    this.calmAtMs.set(accountId, now);
    return false;
  }

  /** Whether accounts that do not flood are expected to publish. Forgets those that are not. */
  private othersAreHere(now: number): boolean {
    for (const [account, atMs] of this.calmAtMs) {
      if (now - atMs < CALM_FOR_MS) return true;
      this.calmAtMs.delete(account);
    }
    return false;
  }

  /** @returns a way to commit that lets others go first for longer than its last commit took */
  private inTurn(): (publishes: JudgedEvent[][]) => Promise<Result[][]> {
    let restUntilMs = 0;
    return async (publishes) => {
      await sleep(Math.max(0, restUntilMs - steadyMs()));
      for (let waitedMs = 0; this.calm > 0 && waitedMs < YIELD.mostMs; waitedMs += YIELD.stepMs)
        await sleep(YIELD.stepMs);
      const beganAtMs = steadyMs();
      const results = await this.commitAll(publishes);
      const now = steadyMs();
      if (this.othersAreHere(now))
        restUntilMs = now + Math.min(MANY_REST.times * (now - beganAtMs), MANY_REST.mostMs);
      return results;
    };
  }
}
