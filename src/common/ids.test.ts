import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromId, type Kind, PREFIXES, toId, uuidV7, uuidV7Floor, uuidV7Of, UuidV7Sequence } from './ids.js';

const kinds = Object.keys(PREFIXES) as Kind[];
const kind = fc.constantFrom(...kinds);

describe('ids', () => {
  it('are the TypeID of a UUID', () => {
    // Valid examples of the TypeID 0.3 specification, under a prefix of ours.
    expect(toId('event', '00000000-0000-0000-0000-000000000000')).toBe('evt_00000000000000000000000000');
    expect(toId('event', '00000000-0000-0000-0000-000000000020')).toBe('evt_00000000000000000000000010');
    expect(toId('event', 'ffffffff-ffff-ffff-ffff-ffffffffffff')).toBe('evt_7zzzzzzzzzzzzzzzzzzzzzzzzz');
    expect(toId('event', '0110c853-1d09-52d8-d73e-1194e95b5f19')).toBe('evt_0123456789abcdefghjkmnpqrs');
    expect(toId('event', '01890a5d-ac96-774b-bcce-b302099a8057')).toBe('evt_01h455vb4pex5vsknk084sn02q');
  });

  it('read back to the UUID they were made of', () => {
    fc.assert(
      fc.property(kind, fc.uuid(), (of, uuid) => {
        expect(fromId(of, toId(of, uuid))).toBe(uuid);
      }),
    );
  });

  it('of one kind are none of another', () => {
    fc.assert(
      fc.property(kind, kind, fc.uuid(), (made, read, uuid) => {
        fc.pre(made !== read);
        expect(fromId(read, toId(made, uuid))).toBeNull();
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a bare prefix', 'evt_'],
    ['a letter too few', 'evt_0000000000000000000000000'],
    ['a letter too many', 'evt_000000000000000000000000000'],
    ['upper case', 'evt_01H455VB4PEX5VSKNK084SN02Q'],
    ['a prefix in upper case', 'EVT_01h455vb4pex5vsknk084sn02q'],
    ['letters that base32 leaves out', 'evt_01h455vb4pex5vsknk084sn0il'],
    ['more than 128 bits', 'evt_8zzzzzzzzzzzzzzzzzzzzzzzzz'],
    ['a NUL', 'evt_01h455vb4pex5vsknk084sn02\u0000'],
    ['a letter outside the BMP', 'evt_01h455vb4pex5vsknk084sn0😀'],
    ['a UUID', '01890a5d-ac96-774b-bcce-b302099a8057'],
  ])('are not read from %s', (_, text) => {
    expect(fromId('event', text)).toBeNull();
  });

  it('are not read from any other text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fromId('event', `evt_${text}`) !== null).toBe(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text));
      }),
    );
  });

  it('of a sequence sort in the order they were asked for, within one millisecond too', () => {
    const sequence = new UuidV7Sequence();
    const made = Array.from({ length: 10_000 }, () => sequence.next(1_700_000_000_000));
    expect([...made].sort()).toEqual(made);
    expect(new Set(made).size).toBe(made.length);
  });

  it('sort by the time they were made', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.integer({ min: 1, max: 2 ** 31 }), (start, later) => {
        const base = 1_700_000_000_000 + start;
        expect(toId('key', uuidV7(base)) < toId('key', uuidV7(base + later))).toBe(true);
      }),
    );
  });

  it('carry the version and variant of RFC 9562', () => {
    for (let round = 0; round < 50; round += 1) {
      expect(uuidV7(1_700_000_000_000)).toMatch(
        /^018bcfe5-6800-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
    }
  });

  it('have random bits of their own, however many are made', () => {
    const made = Array.from({ length: 1_000 }, () => uuidV7(1_700_000_000_000));
    expect(new Set(made.map((id) => id.slice('018bcfe5-6800-7000-'.length))).size).toBe(made.length);
  });

  it('of a moment are not below its floor, and those of the millisecond before are', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), (atMs) => {
        expect(uuidV7(atMs) >= uuidV7Floor(atMs)).toBe(true);
        expect(uuidV7(atMs) < uuidV7Floor(atMs + 1)).toBe(true);
      }),
    );
    expect(uuidV7Floor(-5)).toBe('00000000-0000-0000-0000-000000000000');
  });

  it('makes the same UUIDv7 of the same seed, in the order of what is counted', () => {
    const at = Date.UTC(2026, 0, 1);
    const ids = [0, 1, 2, 4095].map((count) => uuidV7Of('a seed', at, count));
    expect(ids).toEqual([0, 1, 2, 4095].map((count) => uuidV7Of('a seed', at, count)));
    expect(ids).toEqual([...ids].sort());
    for (const id of ids)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(uuidV7Of('another', at, 0)).not.toBe(ids[0]);
  });
});
