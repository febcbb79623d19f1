/** Seconds over which first attempts are recent. */
const RECENT_S = 10;
/** Retries that come to each recent first attempt, at most. */
const SHARE = 0.2;
/** Retries a second that an account may make however few its first attempts are. */
const FLOOR = 10;
/** How long a turn may be used; whoever comes later asks anew. */
const TURN_MS = 5_000;
const IDLE_MS = 60_000;

interface Account {
  /** First attempts, by unix second modulo {@link RECENT_S}, and the seconds they are of. */
  firsts: Uint32Array;
  seconds: Float64Array;
  /** When all turns that were given are paid for. */
  paidAtMs: number;
  usedAtMs: number;
}

/**
 * Keeps an account's retries to a share of its recent first attempts, so that an outage of many of its receivers does not
 * multiply what it costs: retries beyond it get a later turn each, in the order they came, and lose nothing (the retry
 * budget of Google's SRE book, "Handling Overload"). It is that of one process.
 */
export class RetryBudget {
  private readonly accounts = new Map<string, Account>();
  /** Turns that were given and not taken yet, by delivery: unix milliseconds. */
  private readonly turns = new Map<string, number>();
  private prunedAtMs = 0;

  /** Turns that were given and not taken. */
  get waiting(): number {
    return this.turns.size;
  }

  /** Counts a first attempt. */
  first(accountId: string, nowMs: number): void {
    const { firsts, seconds } = this.of(accountId, nowMs);
    const second = Math.floor(nowMs / 1000);
    const place = second % RECENT_S;
    if (seconds[place] !== second) {
      seconds[place] = second;
      firsts[place] = 0;
    }
    firsts[place] = (firsts[place] ?? 0) + 1;
  }

  /**
   * Asks for a retry's turn. It keeps the one that it was given.
   *
   * @returns milliseconds until it; 0 when it has come
   */
  admit(accountId: string, deliveryId: string, nowMs: number): number {
    this.prune(nowMs);
    const given = this.turns.get(deliveryId);
    if (given !== undefined && nowMs < given + TURN_MS) return Math.max(0, given - nowMs);
    const account = this.of(accountId, nowMs);
    const apartMs = 1000 / this.perSecond(account, nowMs);
    // A second's worth may follow each other at once.
    const turnMs = Math.max(nowMs, account.paidAtMs - (1000 - apartMs));
    account.paidAtMs = Math.max(nowMs, account.paidAtMs) + apartMs;
    this.turns.set(deliveryId, turnMs);
    return turnMs - nowMs;
  }

  /** The attempt is made: its turn is used up. */
  made(deliveryId: string): void {
    this.turns.delete(deliveryId);
  }

  private perSecond({ firsts, seconds }: Account, nowMs: number): number {
    const since = Math.floor(nowMs / 1000) - RECENT_S;
    let recent = 0;
    for (let place = 0; place < RECENT_S; place += 1)
      if ((seconds[place] ?? 0) > since) recent += firsts[place] ?? 0;
    return Math.max(FLOOR, (SHARE * recent) / RECENT_S);
  }

  private of(accountId: string, nowMs: number): Account {
    let account = this.accounts.get(accountId);
    if (!account) {
      account = {
        firsts: new Uint32Array(RECENT_S),
        seconds: new Float64Array(RECENT_S),
        paidAtMs: 0,
        usedAtMs: nowMs,
      };
      this.accounts.set(accountId, account);
    }
    account.usedAtMs = nowMs;
    return account;
  }

  private prune(nowMs: number): void {
    if (nowMs - this.prunedAtMs < IDLE_MS) return;
    this.prunedAtMs = nowMs;
    for (const [deliveryId, turnMs] of this.turns)
      if (turnMs + TURN_MS <= nowMs) this.turns.delete(deliveryId);
    for (const [accountId, { usedAtMs, paidAtMs }] of this.accounts)
      if (usedAtMs < nowMs - IDLE_MS && paidAtMs <= nowMs) this.accounts.delete(accountId);
  }
}
