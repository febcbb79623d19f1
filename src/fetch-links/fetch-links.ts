import { Inject, Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { MASK } from '../endpoints/custom-headers.js';
import { KeyRing, SealBrokenError } from '../secrets/key-ring.js';

const TOKEN_CONTEXT = 'fetch/token';

/** What a token stands for: one attempt of one delivery. */
export interface FetchGrant {
  /** UUID */
  deliveryId: string;
  /** Unix milliseconds; tells the attempts of a delivery apart. */
  issuedAtMs: number;
}

/** Links by which the receiver of a thin event fetches the whole. */
@Injectable()
export class FetchLinks {
  private readonly publicUrl: string | undefined;

  constructor(
    private readonly keyRing: KeyRing,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.publicUrl = settings.PUBLIC_URL?.replace(/\/$/, '');
  }

  /**
   * A link that needs no key and is good once, or where it is not known how receivers reach the API, the event's path, to be
   * fetched with a key of the account.
   *
   * @param ids UUIDs; a delivery that there is none of has no token
   * @param version that the event is to be converted to; undefined: as it was published
   * @param atMs the moment of the attempt, unix milliseconds
   */
  linkFor(
    ids: { id: string | null; account_id: string; event_id: string },
    version: string | undefined,
    atMs: number,
  ): string {
    if (this.publicUrl === undefined) {
      const path = `/v1/accounts/${toId('account', ids.account_id)}/events/${toId('event', ids.event_id)}`;
      return version === undefined ? path : `${path}?version=${encodeURIComponent(version)}`;
    }
    if (ids.id === null) return `${this.publicUrl}/v1/fetch/${MASK}`;
    const token = this.keyRing.seal(`${ids.id}/${atMs}`, TOKEN_CONTEXT).toString('base64url');
    return `${this.publicUrl}/v1/fetch/${token}`;
  }

  /** @returns null for what no key of ours has made */
  read(token: string): FetchGrant | null {
    try {
      const text = this.keyRing.open(Buffer.from(token, 'base64url'), TOKEN_CONTEXT);
      const [deliveryId = '', issuedAt] = text.split('/');
      return { deliveryId, issuedAtMs: Number(issuedAt) };
    } catch (error) {
      if (error instanceof SealBrokenError) return null;
      throw error;
    }
  }
}
