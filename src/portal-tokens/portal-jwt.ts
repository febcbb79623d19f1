import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose';
import type { KeyRing } from '../secrets/key-ring.js';

const TYPE = 'posthorn-portal+jwt';
const ISSUER = 'posthorn';
const AUDIENCE = 'posthorn-portal';
const ALGORITHM = 'HS256';
const PURPOSE = 'posthorn/portal-token/v1';

export interface PortalClaims {
  /** `ptk_…` */
  id: string;
  /** `acc_…` */
  accountId: string;
}

/** Whether a text says of itself that it is a portal token; whether it is one, {@link readPortalToken} finds out. */
export function looksLikePortalToken(text: string): boolean {
  try {
    return decodeProtectedHeader(text).typ === TYPE;
  } catch {
    return false;
  }
}

/**
 * A JWT (RFC 7519) under a key made from the key ring's newest, whose name is its `kid`. The scopes in it are for its
 * holder to read: what counts is the row.
 */
export async function signPortalToken(
  keyRing: KeyRing,
  { id, accountId }: PortalClaims,
  { scopes, issuedAt, expiresAt }: { scopes: readonly string[]; issuedAt: Date; expiresAt: Date },
): Promise<string> {
  const signing = keyRing.derive(PURPOSE);
  if (!signing) throw new Error('the key ring has no newest key');
  return new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: signing.name })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(accountId)
    .setJti(id)
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(signing.key);
}

/**
 * Reads a token that any key of the ring signed.
 *
 * @returns `expired` for one that was good until its time was over, null for one that is not ours
 */
export async function readPortalToken(
  keyRing: KeyRing,
  text: string,
  now: Date,
): Promise<PortalClaims | 'expired' | null> {
  try {
    const { payload } = await jwtVerify(
      text,
      ({ kid }) => {
        const signing = kid === undefined ? null : keyRing.derive(PURPOSE, kid);
        if (!signing) throw new errors.JWKSNoMatchingKey();
        return signing.key;
      },
      {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ['sub', 'jti', 'iat', 'exp'],
        currentDate: now,
      },
    );
    const { jti, sub } = payload;
    return jti === undefined || sub === undefined ? null : { id: jti, accountId: sub };
  } catch (error) {
    if (error instanceof errors.JWTExpired) return 'expired';
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}
