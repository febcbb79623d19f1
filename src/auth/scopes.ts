/** What a key may do, and what each scope opens. A route states its scope where it is declared. */
export const SCOPES = {
  'accounts:read': 'read accounts',
  'accounts:write': 'create and change accounts',
  'keys:read': 'list API keys',
  'keys:write': 'create and revoke API keys',
  'endpoints:read': 'read endpoints',
  'endpoints:write': 'create, change, pause and delete endpoints',
  'secrets:read': 'read signing secrets; every read is audited',
  'secrets:write': 'rotate signing secrets',
  'events:read': 'read events with their data',
  'events:write': 'publish events',
  'event-types:read': 'read event types, which all accounts share',
  'event-types:write': 'register, change and remove event types',
  'deliveries:read': 'read the delivery log',
  'deliveries:write': 'retry and cancel deliveries',
  'metrics:read': 'read /metrics',
} as const;

export type Scope = keyof typeof SCOPES;
export const ALL_SCOPES = Object.keys(SCOPES) as [Scope, ...Scope[]];
