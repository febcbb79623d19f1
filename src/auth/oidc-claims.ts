import { fromId } from '../common/ids.js';
import { type Scope, scopesOf } from './scopes.js';

/** The value of the account claim by which an issuer says that a token is an operator's. */
const EVERY_ACCOUNT = '*';
/** OpenID Connect Core 1.0 §2: `sub` has 255 ASCII characters at most. */
const SUBJECT = /^[\x21-\x7e]{1,255}$/;
/** The last second of the year 9999: a later one could not be written as a time. */
const LAST_END = 253_402_300_799;

export interface ClaimNames {
  scope: string;
  /** Absent: every token is an operator's. */
  account: string | undefined;
}

export interface Identity {
  subject: string;
  /** UUID; null for an operator. */
  accountId: string | null;
  scopes: Scope[];
  expiresAt: Date;
}

/**
 * What a verified token's claims make of its holder. Where accounts come from a claim, a token without it is refused:
 * only an issuer that says `*` makes an operator, so that one which forgets the claim opens nothing. Names that are no
 * scopes of ours are passed over.
 *
 * @returns null for claims that name nobody
 */
export function identityOf(claims: Readonly<Record<string, unknown>>, names: ClaimNames): Identity | null {
  const subject = own(claims, 'sub');
  if (typeof subject !== 'string' || !SUBJECT.test(subject)) return null;
  const end = own(claims, 'exp');
  if (typeof end !== 'number' || !(end >= 0 && end <= LAST_END)) return null;
  const identity = {
    subject,
    accountId: null,
    scopes: scopesOf(namesIn(own(claims, names.scope))),
    expiresAt: new Date(end * 1000),
  };
  if (names.account === undefined) return identity;
  const account = own(claims, names.account);
  if (account === EVERY_ACCOUNT) return identity;
  const accountId = typeof account === 'string' ? fromId('account', account) : null;
  return accountId === null ? null : { ...identity, accountId };
}

const own = (claims: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : undefined;

/** Separated by spaces (RFC 8693 §4.2), or a list. */
function namesIn(claim: unknown): string[] {
  if (typeof claim === 'string') return [...new Set(claim.split(' '))];
  if (!Array.isArray(claim)) return [];
  return [...new Set(claim.filter((each): each is string => typeof each === 'string'))];
}
