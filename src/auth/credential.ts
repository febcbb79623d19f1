import { createHash } from 'node:crypto';

/** What somebody sends to be let in: a key, a token, or a code to exchange for one. */
export interface Credential {
  text: string;
  /** SHA-256 of the text, for what is kept of it. */
  hash: Buffer;
}

export const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();
