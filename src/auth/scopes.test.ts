import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { PROJECT_ROOT } from '../common/version.js';
import { ALL_SCOPES, PORTAL_SCOPES, type Scope, SCOPES, scopesOf } from './scopes.js';

describe('scopes', () => {
  it('stand in the guide, each with what it opens and whether a portal may have it', () => {
    const guide = readFileSync(join(PROJECT_ROOT, 'docs', 'guides', 'access.md'), 'utf8');
    const rows = Array.from(
      guide.matchAll(/^\| `([\w-]+:[\w-]+)` +\| (.*?) +\| (.*?) +\|$/gm),
      ([, scope, opens, portal]) => [scope, opens, portal?.trim() === '✓'],
    );
    const portal: readonly Scope[] = PORTAL_SCOPES;
    expect(rows).toEqual(ALL_SCOPES.map((scope) => [scope, SCOPES[scope], portal.includes(scope)]));
  });

  it('of a portal make no credentials, publish nothing and are no operator’s', () => {
    const never = /^(keys|portal-tokens|accounts|metrics|audit|plans):|^(events|event-types):write$/;
    expect(PORTAL_SCOPES.filter((scope) => never.test(scope))).toEqual([]);
  });

  it('that are none any more are passed over', () => {
    expect(scopesOf(['deliveries:write', 'events:read', '__proto__', 'toString'])).toEqual(['events:read']);
  });
});
