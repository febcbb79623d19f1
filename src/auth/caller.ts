import type { Scope } from './scopes.js';

/** Who is calling: the first argument of every service method. */
export interface Caller {
  /** `key_…`, or `root` for the key of the environment. */
  keyId: string;
  /** UUID of the account that the key is bound to; null for an operator, who may reach every account. */
  accountId: string | null;
  scopes: ReadonlySet<Scope>;
  /** When the key ends; null for never. A key that it makes ends no later. */
  expiresAt: Date | null;
  requestId: string;
}
