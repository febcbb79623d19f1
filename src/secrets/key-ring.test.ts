import { createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { KeyRing, SealBrokenError } from './key-ring.js';

const entry = (name: string, fill: number) => `${name}:${Buffer.alloc(32, fill).toString('base64')}`;

describe('the key ring', () => {
  const ring = new KeyRing(entry('k1', 1));

  it('opens what it sealed, and hides it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, context) => {
        const sealed = ring.seal(text, context);
        expect(ring.open(sealed, context)).toBe(text);
        if (text.length > 3) expect(sealed.includes(Buffer.from(text))).toBe(false);
      }),
    );
  });

  it('makes of each key one for each purpose, always the same, by HKDF', () => {
    const two = new KeyRing(`${entry('k2', 2)},${entry('k1', 1)}`);
    const hex = (by: KeyRing, purpose: string, name?: string) => {
      const derived = by.derive(purpose, name);
      return derived && [derived.name, Buffer.from(derived.key).toString('hex')];
    };
    // RFC 5869, worked out with HMAC alone.
    const hmac = (key: Buffer, data: Buffer) => createHmac('sha256', key).update(data).digest();
    const prk = hmac(Buffer.alloc(32), Buffer.alloc(32, 1));
    expect(hex(ring, 'a')).toEqual(['k1', hmac(prk, Buffer.from('a\u0001')).toString('hex')]);
    expect(hex(two, 'a', 'k1')).toEqual(hex(ring, 'a'));
    expect(hex(two, 'a')?.[0]).toBe('k2');
    expect(hex(two, 'a')?.[1]).not.toBe(hex(ring, 'a')?.[1]);
    expect(hex(ring, 'b')).not.toEqual(hex(ring, 'a'));
    expect(hex(ring, 'a', 'k2')).toBeNull();
  });

  it('seals the same text differently each time', () => {
    expect(ring.seal('secret', 'row').equals(ring.seal('secret', 'row'))).toBe(false);
  });

  it('does not open a value that was copied to another row', () => {
    const sealed = ring.seal('secret', 'endpoint_secrets/sealed/1');
    expect(() => ring.open(sealed, 'endpoint_secrets/sealed/2')).toThrow(SealBrokenError);
  });

  it('does not open a value of which any bit was changed, or that was cut', () => {
    const sealed = ring.seal('secret', 'row');
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => ring.open(changed, 'row')).toThrow(SealBrokenError);
    }
    for (let length = 0; length < sealed.length; length += 1) {
      expect(() => ring.open(sealed.subarray(0, length), 'row')).toThrow(SealBrokenError);
    }
  });

  it('seals with the newest key and opens with every one, until one is taken out', () => {
    const old = ring.seal('secret', 'row');
    const both = new KeyRing(`${entry('k2', 2)}, ${entry('k1', 1)}`);
    expect(both.open(old, 'row')).toBe('secret');
    const renewed = both.seal('secret', 'row');
    expect(() => ring.open(renewed, 'row')).toThrow('key k2 is not in POSTHORN_ENCRYPTION_KEYS');
    expect(new KeyRing(entry('k2', 2)).open(renewed, 'row')).toBe('secret');
  });

  it('does not open with another key of the same name', () => {
    expect(() => new KeyRing(entry('k1', 9)).open(ring.seal('secret', 'row'), 'row')).toThrow(
      SealBrokenError,
    );
  });

  it('generates 32 random bytes that it takes', () => {
    const [one, two] = [KeyRing.generate(), KeyRing.generate()];
    expect(one).not.toBe(two);
    expect(Buffer.from(one.slice(3), 'base64')).toHaveLength(32);
    expect(() => new KeyRing(one)).not.toThrow();
  });

  it.each([
    ['', 'key 1 must be'],
    ['k1', 'key 1 must be'],
    [`k1:${Buffer.alloc(16).toString('base64')}`, 'key 1 must be'],
    [`k1:${Buffer.alloc(33).toString('base64')}`, 'key 1 must be'],
    [`${entry('k1', 1)},`, 'key 2 must be'],
    [`${entry('k1', 1)},${entry('k1', 2)}`, 'there are two keys named k1'],
  ])('refuses %j and says which entry is wrong, without repeating it', (text, message) => {
    expect(() => new KeyRing(text)).toThrow(message);
    try {
      new KeyRing(text);
    } catch (error) {
      expect(String(error)).not.toContain('AAAA');
    }
  });
});
