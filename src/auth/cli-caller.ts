import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { VERSION } from '../common/version.js';
import type { Caller } from './caller.js';
import { ALL_SCOPES } from './scopes.js';

/** A person with access to the database, who may do everything: the command line. */
export const callerOfCli = (): Caller => ({
  keyId: 'cli',
  accountId: null,
  scopes: new Set(ALL_SCOPES),
  expiresAt: null,
  requestId: randomUUID(),
  ip: null,
  userAgent: `posthorn/${VERSION} on ${hostname()}`,
});
