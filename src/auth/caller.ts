import type { Scope } from './scopes.js';

/** Where a request comes from. */
export interface Origin {
  requestId: string;
  /** The peer's address, or what a trusted proxy says it is; null where there is no request. */
  ip: string | null;
  /** Cut to a length that may be kept. */
  userAgent: string | null;
}

/** Who is calling: the first argument of every service method. */
export interface Caller extends Origin {
  /** `key_…`, `root` for the environment's, `ptk_…` of a portal token, `oidc:` and a subject, `cli` for the command line. */
  keyId: string;
  /** UUID of the account that the key is bound to; null for an operator, who may reach every account. */
  accountId: string | null;
  scopes: ReadonlySet<Scope>;
  /** When the key ends; null for never. A key that it makes ends no later. */
  expiresAt: Date | null;
}
