import { describe, expect, it } from '@jest/globals';
import { endpointChanges, maskUrl } from './endpoint-changes.js';
import type { EndpointShown } from './endpoints.schema.js';

const shown: EndpointShown = {
  id: 'ep_1',
  accountId: 'acc_1',
  url: 'https://example.com/hooks?token=first',
  description: null,
  eventTypes: null,
  eventVersions: {},
  filter: null,
  lookups: [],
  headers: { 'x-team': 'blue', authorization: '***' },
  timeoutMs: 15_000,
  retrySchedule: 'default',
  signing: { scheme: 'standard', header: 'webhook-signature' },
  auth: { type: 'bearer', token: '***' },
  tls: null,
  certificates: [],
  certificateExpiresAt: null,
  lane: null,
  priority: null,
  rateLimit: null,
  maxInFlight: null,
  payload: 'full',
  format: 'posthorn',
  batch: null,
  test: false,
  status: 'active',
  statusReason: null,
  paused: false,
  verification: 'none',
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
};
const auth = { type: 'bearer', token: 'first' } as const;
const headers = { 'x-team': 'blue', authorization: 'Bearer first' };

describe('a change of an endpoint, as it is audited', () => {
  it('shows that a credential was replaced, and neither the old nor the new one', () => {
    const after = {
      shown: {
        ...shown,
        url: 'https://example.com/hooks?token=second',
        updatedAt: '2026-01-02T00:00:00.000Z',
      },
      auth: { type: 'bearer', token: 'second' } as const,
      headers: { ...headers, authorization: 'Bearer second' },
    };
    expect(endpointChanges({ shown, auth, headers }, after)).toEqual({
      url: {
        from: 'https://example.com/hooks?token=***',
        to: 'https://example.com/hooks?token=***',
      },
      auth: { from: { type: 'bearer', token: '***' }, to: { type: 'bearer', token: '***' } },
      headers: { from: { authorization: '***' }, to: { authorization: '***' } },
    });
  });

  it('shows no value of a custom header, whatever its name is', () => {
    const after = { shown, auth, headers: { 'x-team': 'red', 'x-new': 'value' } };
    expect(endpointChanges({ shown, auth, headers }, after)).toEqual({
      headers: {
        from: { 'x-team': '***', authorization: '***' },
        to: { 'x-team': '***', 'x-new': '***' },
      },
    });
  });

  it('is empty when nothing changed but the time', () => {
    const after = {
      shown: { ...shown, updatedAt: '2027-01-01T00:00:00.000Z' },
      auth,
      headers: { ...headers },
    };
    expect(endpointChanges({ shown, auth, headers }, after)).toEqual({});
  });
});

describe('a URL in the audit log', () => {
  it.each([
    ['https://user:pass@example.com/', 'https://user:***@example.com/'],
    ['https://example.com/?api_key=1&x=2', 'https://example.com/?api_key=***&x=2'],
    ['https://example.com/?Key=1&SIG=2', 'https://example.com/?Key=***&SIG=***'],
    ['https://example.com/?a=%20b&keyboard=1', 'https://example.com/?a=%20b&keyboard=1'],
    ['not a URL, with a password', '***'],
  ])('%s is %s', (url, masked) => {
    expect(maskUrl(url)).toBe(masked);
  });
});
