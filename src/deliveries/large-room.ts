import { SharedRoom } from '../common/shared-room.js';

const MIB = 1024 * 1024;
/** Of large data that is being sent at once. Each byte of it takes a few of memory for as long as its receiver takes to answer. */
const ROOM = { items: Infinity, bytes: 64 * MIB };
/** Of what it leaves, so that an endpoint by itself does not take all that its account may. */
const SHARE_OF_ENDPOINT = 0.5;
/** How long an attempt waits in place. */
const WITHIN_MS = 500;

export interface LargeSend {
  id: string;
  account_id: string;
  endpoint_id: string;
  bytes: number;
}

/** Receivers that hang are not to fill the memory with large bodies: accounts share the room that there is for them, and so do endpoints. */
export class LargeRoom {
  private readonly accounts = new SharedRoom(ROOM);
  private readonly endpoints = new SharedRoom(ROOM, SHARE_OF_ENDPOINT);
  private readonly inside = new Map<string, LargeSend>();
  private readonly waiting = new Map<() => void, LargeSend>();

  /** Lets a delivery in as soon as there is room, until {@link leave}. @returns false where there was none in time */
  async enter(send: LargeSend): Promise<boolean> {
    if (this.takes(send)) return true;
    return new Promise((resolve) => {
      const granted = () => {
        clearTimeout(timer);
        this.waiting.delete(granted);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.waiting.delete(granted);
        resolve(false);
      }, WITHIN_MS);
      this.waiting.set(granted, send);
    });
  }

  /** Does nothing for one that is not in. */
  leave(deliveryId: string): void {
    const send = this.inside.get(deliveryId);
    if (!send) return;
    this.inside.delete(deliveryId);
    const amount = { items: 1, bytes: send.bytes };
    this.accounts.leave(send.account_id, amount);
    this.endpoints.leave(send.endpoint_id, amount);
    const refused = new Set<string>();
    for (const [granted, next] of this.waiting) {
      if (refused.has(next.endpoint_id)) continue;
      if (this.takes(next)) granted();
      else refused.add(next.endpoint_id);
    }
  }

  private takes(send: LargeSend): boolean {
    if (this.inside.has(send.id)) return true;
    const amount = { items: 1, bytes: send.bytes };
    if (!this.accounts.enter(send.account_id, amount)) return false;
    if (!this.endpoints.enter(send.endpoint_id, amount)) {
      this.accounts.leave(send.account_id, amount);
      return false;
    }
    this.inside.set(send.id, send);
    return true;
  }
}
