import { describe, expect, it } from '@jest/globals';
import type { Credentials } from './credentials.js';
import { makeReady, OpenedCredentials } from './opened-credentials.js';

const bearer = (token: string): Credentials => ({ auth: { type: 'bearer', token }, ca: null });

describe('opened credentials', () => {
  it('are opened once for each endpoint and each change of it', () => {
    const opened: string[] = [];
    const all = new OpenedCredentials((id, sealed) => {
      opened.push(id);
      return bearer(sealed.toString());
    });
    const first = all.get('a', Buffer.from('one'));
    expect(all.get('a', Buffer.from('one'))).toBe(first);
    expect(all.get('b', Buffer.from('one'))).not.toBe(first);
    expect(all.get('a', Buffer.from('two')).headers).toEqual({ authorization: 'Bearer two' });
    expect(opened).toEqual(['a', 'b', 'a']);
  });

  it('are kept for 10,000 endpoints', () => {
    let opened = 0;
    const all = new OpenedCredentials(() => {
      opened += 1;
      return bearer('x');
    });
    const sealed = Buffer.from('s');
    for (let index = 0; index < 10_000; index++) all.get(String(index), sealed);
    all.get('0', sealed);
    expect(opened).toBe(10_000);
    all.get('one more', sealed);
    all.get('9999', sealed);
    expect(opened).toBe(10_001);
    all.get('0', sealed);
    expect(opened).toBe(10_002);
  });

  it('have another name for each endpoint and each change, so that no connection is shared', () => {
    const all = new OpenedCredentials(() => ({
      auth: { type: 'mtls', certificate: 'c', privateKey: 'k' },
      ca: 'a',
    }));
    const names = [
      all.get('a', Buffer.from('1')),
      all.get('b', Buffer.from('1')),
      all.get('a', Buffer.from('2')),
    ];
    expect(new Set(names.map(({ tls }) => tls?.key)).size).toBe(3);
    expect(names[0]?.tls).toMatchObject({ ca: 'a', certificate: 'c', privateKey: 'k' });
  });

  it('are sent as their type says, and shown masked', () => {
    const basic = makeReady(
      { auth: { type: 'basic', username: 'jürgen', password: 'pâss:word' }, ca: null },
      'a',
    );
    expect(basic.headers).toEqual({
      authorization: `Basic ${Buffer.from('jürgen:pâss:word', 'utf8').toString('base64')}`,
    });
    expect(basic.maskedHeaders).toEqual({ authorization: '***' });
    const header = makeReady({ auth: { type: 'header', name: 'x-door', value: 'open' }, ca: null }, 'a');
    expect(header.headers).toEqual({ 'x-door': 'open' });
    expect(header.maskedHeaders).toEqual({ 'x-door': '***' });
    expect(header.tls).toBeUndefined();
  });
});
