export interface Amount {
  events: number;
  bytes: number;
}

/**
 * How much may wait to be committed. An account may take no more than it leaves: half of the room while it is alone, a third
 * each of two, and whoever comes next finds some.
 */
export class PublishRoom {
  private readonly taken: Amount = { events: 0, bytes: 0 };
  private readonly byAccount = new Map<string, Amount>();

  constructor(private readonly most: Amount) {}

  /** @returns false where the account has its share of what is there already */
  enter(accountId: string, { events, bytes }: Amount): boolean {
    const own = this.byAccount.get(accountId) ?? { events: 0, bytes: 0 };
    const { taken, most } = this;
    if (own.events >= most.events - taken.events || own.bytes >= most.bytes - taken.bytes) return false;
    this.byAccount.set(accountId, { events: own.events + events, bytes: own.bytes + bytes });
    taken.events += events;
    taken.bytes += bytes;
    return true;
  }

  leave(accountId: string, { events, bytes }: Amount): void {
    const own = this.byAccount.get(accountId);
    if (!own) return;
    this.taken.events -= events;
    this.taken.bytes -= bytes;
    if (own.events === events) this.byAccount.delete(accountId);
    else this.byAccount.set(accountId, { events: own.events - events, bytes: own.bytes - bytes });
  }
}
