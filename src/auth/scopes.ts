/** What a key may do, and what each scope opens. A route states its scope where it is declared. */
export const SCOPES = {
  'accounts:read': 'read accounts',
  'accounts:write': 'create and change accounts',
  'keys:read': 'list API keys',
  'keys:write': 'create and revoke API keys',
  'endpoints:read': 'read endpoints',
  'endpoints:write': 'create, change, pause, test and delete endpoints',
  'secrets:read': 'read signing secrets; every read is audited',
  'secrets:write': 'rotate signing secrets',
  'events:read': 'read events with their data',
  'events:write': 'publish events',
  'event-types:read': 'read event types, which all accounts share',
  'event-types:write': 'register, change and remove event types',
  'deliveries:read': 'read the delivery log',
  'deliveries:retry': 'retry deliveries',
  'deliveries:cancel': 'cancel deliveries',
  'portal-tokens:write': "make and revoke tokens for a customer's own page",
  'plans:read': 'read plans',
  'plans:write': 'create, change and delete plans',
  'lookups:read': 'read lookups',
  'lookups:write': 'create, change and delete lookups',
  'audit:read': 'read the audit log',
  'metrics:read': 'read /metrics',
} as const;

export type Scope = keyof typeof SCOPES;
export const ALL_SCOPES = Object.keys(SCOPES) as [Scope, ...Scope[]];

/** A key of before may hold names that are no scopes any more. */
export const scopesOf = (names: readonly string[]): Scope[] =>
  names.filter((name): name is Scope => Object.hasOwn(SCOPES, name));

/** What a customer's own page may be given: nothing that publishes, makes credentials or reaches beyond the account. */
export const PORTAL_SCOPES = [
  'endpoints:read',
  'endpoints:write',
  'secrets:read',
  'secrets:write',
  'events:read',
  'event-types:read',
  'deliveries:read',
  'deliveries:retry',
  'deliveries:cancel',
] as const satisfies readonly Scope[];
