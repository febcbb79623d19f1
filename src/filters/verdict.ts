/**
 * What an account's filters say of one event: bits by the slots of endpoints (`get_bit` of PostgreSQL counts the same
 * way, from the least significant bit of each byte), as PostgreSQL reads bytes.
 */
export interface Verdict {
  /** Of the account's filters that were asked. */
  version: number;
  /** Endpoints that get a delivery: those that match, and the broken ones. */
  takes: string;
  /** Those whose filter failed; null when there are none. */
  broken: string | null;
}

/** Bits that are set one by one. */
export class Bits {
  private readonly bytes: Buffer;

  constructor(length: number) {
    this.bytes = Buffer.alloc(length);
  }

  set(index: number): void {
    const at = index >> 3;
    this.bytes[at] = (this.bytes[at] ?? 0) | (1 << (index & 7));
  }

  toString(): string {
    return `\\x${this.bytes.toString('hex')}`;
  }
}
