import { describe, expect, it } from '@jest/globals';
import { SecureContexts } from './secure-contexts.js';

describe('SecureContexts', () => {
  it('makes one of each, and another for another', () => {
    const contexts = new SecureContexts();
    const first = contexts.of({ key: 'a' });
    expect(first).not.toBeNull();
    expect(contexts.of({ key: 'a' })).toBe(first);
    expect(contexts.of({ key: 'b' })).not.toBe(first);
    expect(first).not.toBe(contexts.shared);
  });

  it('keeps 256, and gives up the longest unused first', () => {
    const contexts = new SecureContexts();
    const first = contexts.of({ key: '0' });
    const second = contexts.of({ key: '1' });
    for (let index = 2; index < 256; index++) contexts.of({ key: String(index) });
    expect(contexts.of({ key: '0' })).toBe(first);
    contexts.of({ key: 'one more' });
    expect(contexts.size).toBe(256);
    expect(contexts.of({ key: '0' })).toBe(first);
    expect(contexts.of({ key: '1' })).not.toBe(second);
  });

  it('has none for what cannot be read, and keeps nothing of it', () => {
    const contexts = new SecureContexts();
    expect(contexts.of({ key: 'a', certificate: 'none', privateKey: 'none' })).toBeNull();
    expect(contexts.size).toBe(0);
  });
});
