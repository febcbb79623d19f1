import { type Changes, changesBetween, changesOfEntries } from '../audit/changes.js';
import { parseUrl } from '../common/parse-url.js';
import { maskAuth } from '../credentials/credentials.js';
import type { Auth } from '../credentials/credentials.schema.js';
import { type CustomHeaders, isCredential, MASK } from './custom-headers.js';
import type { EndpointShown } from './endpoints.schema.js';

/** An endpoint as it is or was. */
export interface EndpointState {
  shown: EndpointShown;
  /** Not masked, as are the headers: masks are all alike, and hide what changed. */
  auth: Auth;
  headers: CustomHeaders;
}

/** What the audit log tells of a change: of headers the names alone. */
export function endpointChanges(before: EndpointState | null, after: EndpointState | null): Changes {
  const headers = changesOfEntries(before?.headers ?? {}, after?.headers ?? {}, () => MASK);
  const changes = changesBetween(before && fieldsOf(before), after && fieldsOf(after), {
    url: (url) => maskUrl(String(url)),
    auth: (auth) => maskAuth(auth as Auth),
  });
  return { ...changes, ...(headers && { headers }) };
}

/** Beside the entry's own resource and time; headers are compared as they are sent. */
const LEFT_OUT = ['id', 'accountId', 'headers', 'createdAt', 'updatedAt'];

const fieldsOf = ({ shown, auth }: EndpointState): Record<string, unknown> =>
  Object.fromEntries(Object.entries({ ...shown, auth }).filter(([name]) => !LEFT_OUT.includes(name)));

/** Signatures and keys as they are called in queries, beside what headers call them. */
const QUERY_CREDENTIAL = /^(key|sig|signature|code)$/;

/** A URL with its password, and whatever else is named like a credential, masked. */
export function maskUrl(text: string): string {
  const url = parseUrl(text);
  if (!url) return MASK;
  if (url.password !== '') url.password = MASK;
  const secret = [...url.searchParams.keys()].filter((name) => {
    const lower = name.toLowerCase();
    return isCredential(lower) || QUERY_CREDENTIAL.test(lower);
  });
  for (const name of secret) url.searchParams.set(name, MASK);
  return secret.length === 0 && url.password === '' ? text : url.href;
}
