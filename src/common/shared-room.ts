export interface Amount {
  items: number;
  bytes: number;
}

/**
 * How much may be here at once. An account may take no more than it leaves: half of the room while it is alone, a third
 * each of two, and whoever comes next finds some.
 */
export class SharedRoom {
  private readonly taken: Amount = { items: 0, bytes: 0 };
  private readonly byAccount = new Map<string, Amount>();

  /** @param share of what it leaves that an account may take */
  constructor(
    private readonly most: Amount,
    private readonly share = 1,
  ) {}

  /** @returns false where the account has its share of what is there already */
  enter(accountId: string, { items, bytes }: Amount): boolean {
    const own = this.byAccount.get(accountId) ?? { items: 0, bytes: 0 };
    const { taken, most, share } = this;
    if (own.items >= share * (most.items - taken.items) || own.bytes >= share * (most.bytes - taken.bytes))
      return false;
    this.byAccount.set(accountId, { items: own.items + items, bytes: own.bytes + bytes });
    taken.items += items;
    taken.bytes += bytes;
    return true;
  }

  leave(accountId: string, { items, bytes }: Amount): void {
    const own = this.byAccount.get(accountId);
    if (!own) return;
    this.taken.items -= items;
    this.taken.bytes -= bytes;
    if (own.items === items) this.byAccount.delete(accountId);
    else this.byAccount.set(accountId, { items: own.items - items, bytes: own.bytes - bytes });
  }
}
