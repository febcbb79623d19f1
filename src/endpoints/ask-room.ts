import { Injectable } from '@nestjs/common';
import { Tally } from '../common/tally.js';
import type { TransportResult } from '../transport/types.js';

/** Receivers that one process asks at once whether they are there: each takes a place for as long as it is silent. */
const MOST = { all: 128, account: 16 };
const COME_BACK_MS = { least: 5_000, spread: 5_000 };

/** Has those who ask endpoints outside of deliveries come back where there are many, so that they leave room to the rest. */
@Injectable()
export class AskRoom {
  private all = 0;
  private readonly byAccount = new Tally();

  /** @returns milliseconds after which it may ask again, where nothing has been asked: that says nothing of the endpoint */
  async ask(
    accountId: string,
    ask: () => Promise<{ result: TransportResult }>,
  ): Promise<TransportResult | number> {
    if (this.all >= MOST.all || this.byAccount.of(accountId) >= MOST.account)
      return COME_BACK_MS.least + Math.random() * COME_BACK_MS.spread;
    this.all += 1;
    this.byAccount.add(accountId);
    try {
      const { result } = await ask();
      return result.ok ? result : (result.failure.comeBackMs ?? result);
    } finally {
      this.all -= 1;
      this.byAccount.add(accountId, -1);
    }
  }
}
