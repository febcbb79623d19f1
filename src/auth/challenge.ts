import { Problem } from '../common/problems.js';
import type { Scope } from './scopes.js';

/** Where people put keys who have read of another API. */
const IN_QUERY = ['access_token', 'token', 'key', 'api_key', 'apikey'];

/** 401 (RFC 6750 §3): without an error code where nothing was sent that could be wrong. @param query of the request */
export function unauthenticated(sent: boolean, query: unknown): Problem {
  const inUrl =
    typeof query === 'object' && query !== null && IN_QUERY.some((name) => Object.hasOwn(query, name));
  return new Problem(
    'unauthenticated',
    inUrl
      ? 'Send the key as `Authorization: Bearer …`. In a URL it is not looked at, and logs keep it: revoke it.'
      : 'Send `Authorization: Bearer phk_…` with a valid key.',
    { challenge: sent ? 'Bearer error="invalid_token"' : 'Bearer' },
  );
}

/** 403 (RFC 6750 §3.1). @param scope the one that would do; absent where none would */
export function insufficient(detail: string, scope?: Scope): Problem {
  return new Problem('forbidden', detail, {
    challenge: `Bearer error="insufficient_scope"${scope === undefined ? '' : `, scope="${scope}"`}`,
  });
}
