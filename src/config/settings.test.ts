import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { PROJECT_ROOT } from '../common/version.js';
import { KeyRing } from '../secrets/key-ring.js';
import { readSettings, SETTINGS, SettingsError, unknownSettings } from './settings.js';

const linesOf = (env: Record<string, string>): string[] => {
  try {
    readSettings(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.lines;
    throw error;
  }
  return [];
};

describe('settings', () => {
  it('stand in the README, each with its default', () => {
    const readme = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8');
    const rows = new Map(
      Array.from(
        readme.matchAll(/^\| `(POSTHORN_\w+)` +\| (.*?) +\|/gm),
        ([, name, byDefault]) => [name, byDefault] as const,
      ),
    );
    for (const [name, definition] of Object.entries(SETTINGS)) {
      expect([name, rows.has(name)]).toEqual([name, true]);
      if ('default' in definition)
        expect([name, rows.get(name)]).toEqual([name, `\`${definition.default}\``]);
    }
  });

  it('have the documented defaults', () => {
    expect(readSettings({})).toMatchObject({
      PORT: 8400,
      HOST: '127.0.0.1',
      ROLES: ['api', 'worker'],
      ROOT_KEY: undefined,
      DATABASE_URL: undefined,
      TEMPORAL_ADDRESS: undefined,
      TEMPORAL_NAMESPACE: 'default',
      DATA_DIR: '.posthorn',
      TEMPORAL_UI_PORT: undefined,
      EGRESS_ALLOW: undefined,
      ENCRYPTION_KEYS: undefined,
      LANE: 'auto',
      EVENT_BYTES: 1024 * 1024,
    });
  });

  it('take an empty value for an unset one', () => {
    const empty = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, '']));
    expect(readSettings(empty)).toEqual(readSettings({}));
  });

  it.each(Object.entries(SETTINGS))(
    '%s has a meaning and, if any, a default that is valid',
    (name, definition) => {
      expect(definition.meaning.length).toBeGreaterThan(10);
      if ('default' in definition) expect(linesOf({ [name]: definition.default })).toEqual([]);
    },
  );

  it.each([
    ['POSTHORN_PORT', '0', 0],
    ['POSTHORN_PORT', '65535', 65535],
    ['POSTHORN_ROLES', 'worker', ['worker']],
    ['POSTHORN_ROLES', ' api , worker ', ['api', 'worker']],
    ['POSTHORN_TEMPORAL_TLS', 'true', true],
    ['POSTHORN_TEMPORAL_ADDRESS', '[::1]:7233', '[::1]:7233'],
    ['POSTHORN_DATABASE_URL', 'postgresql://u@h/d', 'postgresql://u@h/d'],
    ['POSTHORN_EGRESS_ALLOW', '10.0.0.0/8, fd00::/8', '10.0.0.0/8, fd00::/8'],
    ['POSTHORN_TRUSTED_PROXIES', '10.0.0.0/8, ::1', ['10.0.0.0/8', '::1']],
  ])('%s=%s is taken', (name, text, value) => {
    const settings: Record<string, unknown> = readSettings({ [name]: text });
    expect(settings[name.slice('POSTHORN_'.length)]).toEqual(value);
  });

  it('take what KeyRing.generate makes', () => {
    expect(linesOf({ POSTHORN_ENCRYPTION_KEYS: KeyRing.generate() })).toEqual([]);
  });

  it.each([
    ['POSTHORN_PORT', '65536', 'must be from 0 to 65535'],
    ['POSTHORN_PORT', '-1', 'must be a whole number'],
    ['POSTHORN_PORT', '8400x', 'must be a whole number'],
    ['POSTHORN_PORT', '1e3', 'must be a whole number'],
    ['POSTHORN_ROLES', 'api,web', 'expected one of "api"|"worker"'],
    ['POSTHORN_ROLES', ',', 'expected one of "api"|"worker"'],
    ['POSTHORN_ROOT_KEY', 'sk_0123456789012345678901234', 'must be `phk_`'],
    ['POSTHORN_ROOT_KEY', 'phk_short', 'must be `phk_`'],
    ['POSTHORN_ROOT_KEY', 'phk_0123456789 0123456789', 'must be `phk_`'],
    ['POSTHORN_DATABASE_URL', 'mysql://h/d', 'must begin with `postgres://`'],
    ['POSTHORN_DATABASE_POOL', '1', 'must be from 2 to 500'],
    ['POSTHORN_WAITING_DELIVERIES', '1999', 'must be from 2000 to 1000000'],
    ['POSTHORN_TEMPORAL_ADDRESS', 'localhost', 'must be host:port'],
    ['POSTHORN_TEMPORAL_ADDRESS', 'http://localhost:7233', 'must be host:port'],
    ['POSTHORN_TEMPORAL_TLS', 'yes', 'expected one of "true"|"false"'],
    ['POSTHORN_TEMPORAL_UI_URL', 'localhost:8233', 'Invalid URL'],
    ['POSTHORN_TEMPORAL_UI_PORT', '0', 'must be from 1 to 65535'],
    ['POSTHORN_EGRESS_ALLOW', '10.0.0.0/33', '"10.0.0.0/33" is not a network'],
    ['POSTHORN_EGRESS_ALLOW', 'localhost', '"localhost" is not a network'],
    ['POSTHORN_TRUSTED_PROXIES', '10.0.0.0/33', '"10.0.0.0/33" is not a network'],
    ['POSTHORN_TRUSTED_PROXIES', 'true', '"true" is not a network'],
    ['POSTHORN_EGRESS_ADDRESSES', '198.51.100.7/24', 'did you mean 198.51.100.0/24'],
    ['POSTHORN_EGRESS_PROXY', 'proxy.example.com:3128', 'must be http://'],
    ['POSTHORN_EGRESS_PROXY', 'socks5://proxy.example.com:1080', 'must be http://'],
    ['POSTHORN_EGRESS_PROXY_RESOLVES', 'both', '"posthorn"|"proxy"'],
    ['POSTHORN_ENCRYPTION_KEYS', 'k1:abc', 'key 1 must be `name:base64 of 32 bytes`'],
    ['POSTHORN_OIDC_ISSUER', 'http://login.example.com', 'must be an `https:` URL'],
    ['POSTHORN_OIDC_ISSUER', 'https://login.example.com/?a', 'must have no credentials, query or fragment'],
    ['POSTHORN_GUESSES_PER_ADDRESS', '0', 'must be from 1 to'],
    ['POSTHORN_GUESSES_PER_PREFIX', 'none', 'must be a whole number'],
    ['POSTHORN_LANE', 'fast', '"durable"|"express"|"auto"'],
    ['POSTHORN_EVENT_BYTES', '10', 'must be from 1024 to'],
    ['POSTHORN_SHUTDOWN_SECONDS', '601', 'must be from 0 to 600'],
    ['POSTHORN_LOG_LEVEL', 'loud', 'expected one of'],
  ])('%s=%s is refused in one line that says what it must be', (name, text, why) => {
    const lines = linesOf({ [name]: text });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^${name}: `));
    expect(lines[0]).toContain(why);
    expect(lines[0]).not.toContain('\n');
  });

  it('that are secret are not repeated when they are wrong', () => {
    const secret = 'hunter2-hunter2-hunter2';
    const names = Object.entries(SETTINGS).filter(([, definition]) => 'secret' in definition);
    expect(names.length).toBeGreaterThan(2);
    for (const [name] of names) expect(linesOf({ [name]: secret }).join()).not.toContain('hunter2');
  });

  it('name the audience where they name an issuer', () => {
    const issuer = { POSTHORN_OIDC_ISSUER: 'https://login.example.com' };
    expect(linesOf(issuer)).toEqual(['POSTHORN_OIDC_AUDIENCE: is required with POSTHORN_OIDC_ISSUER']);
    expect(linesOf({ ...issuer, POSTHORN_OIDC_AUDIENCE: 'posthorn' })).toEqual([]);
  });

  it('that are wrong are all told at once', () => {
    expect(linesOf({ POSTHORN_PORT: 'x', POSTHORN_LANE: 'x', POSTHORN_HOST: 'ok' })).toHaveLength(2);
  });

  it('that are misspelt are found, and nobody else’s variables', () => {
    const env = { POSTHORN_PROT: '1', POSTHORN_PORT: '1', POSTHORN_CACHE_DIR: '/tmp', PATH: '/bin' };
    expect(unknownSettings(env)).toEqual(['POSTHORN_PROT']);
  });
});
