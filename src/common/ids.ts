import { createHash, randomBytes } from 'node:crypto';

/** Kinds of resources and the prefixes of their ids. */
export const PREFIXES = {
  account: 'acc',
  endpoint: 'ep',
  event: 'evt',
  delivery: 'dlv',
  message: 'msg',
  key: 'key',
  notification: 'ntf',
  audit: 'aud',
  token: 'ptk',
} as const;

export type Kind = keyof typeof PREFIXES;

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const VALUES = new Map(Array.from(ALPHABET, (letter, value) => [letter, value]));
const LETTERS = 26;
const HEX_DIGITS = 32;
const [DASH, ZERO, NINE, SMALL_A] = [45, 48, 57, 97];

/** Of each five bits, the letter's code. */
const CODES = Buffer.from(ALPHABET);
/** Where the letters of an id are put together. */
const SHOWN = Buffer.alloc(LETTERS);

/**
 * Shows a UUID as a TypeID 0.3: the kind's prefix, `_`, and 26 letters of Crockford's base32. 26 letters hold 130 bits:
 * the first two are zero.
 *
 * @param uuid 36 characters with dashes and small letters, as PostgreSQL returns it
 */
export function toId(kind: Kind, uuid: string): string {
  let bits = 0;
  let count = 2;
  let letters = 0;
  for (let index = 0; index < uuid.length; index += 1) {
    const code = uuid.charCodeAt(index);
    if (code === DASH) continue;
    bits = (bits << 4) | (code <= NINE ? code - ZERO : code - SMALL_A + 10);
    count += 4;
    if (count < 5) continue;
    count -= 5;
    SHOWN[letters] = CODES[bits >> count] ?? 0;
    letters += 1;
    bits &= (1 << count) - 1;
  }
  return `${PREFIXES[kind]}_${SHOWN.toString('latin1', 0, letters)}`;
}

/** Reads an id of this kind back into a UUID. @returns null for another kind or anything that is no id */
export function fromId(kind: Kind, id: string): string | null {
  const prefix = `${PREFIXES[kind]}_`;
  if (id.length !== prefix.length + LETTERS || !id.startsWith(prefix)) return null;
  let hex = '';
  let bits = 0;
  let count = -2;
  for (const letter of id.slice(prefix.length)) {
    const value = VALUES.get(letter);
    // The first letter has three bits of the UUID: more would not fit.
    if (value === undefined || (count === -2 && value > 7)) return null;
    bits = (bits << 5) | value;
    count += 5;
    while (count >= 4) {
      count -= 4;
      hex += (bits >> count).toString(16);
      bits &= (1 << count) - 1;
    }
  }
  if (hex.length !== HEX_DIGITS) return null;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Random bytes are asked for many at once: asking costs more than they do. */
const RANDOM = { bytes: Buffer.alloc(0), used: 0 };

/** @returns 16 bytes that nobody else has */
function random(): Buffer {
  if (RANDOM.used === RANDOM.bytes.length) {
    RANDOM.bytes = randomBytes(4096);
    RANDOM.used = 0;
  }
  return RANDOM.bytes.subarray(RANDOM.used, (RANDOM.used += 16));
}

/** A UUIDv7 (RFC 9562 §5.7): ids sort by the time they were made. @param nowMs unix milliseconds */
export function uuidV7(nowMs: number): string {
  const bytes = random();
  return format(bytes, nowMs, bytes.readUInt16BE(6) & 0x0fff);
}

/** The Nil UUID (RFC 9562 §5.9): it sorts before every other. */
export const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * The same UUIDv7 each time for the same seed: a digest of it stands for the random bits, and the 12 bits after the time count
 * (RFC 9562 §6.2, method 1).
 *
 * @param nowMs unix milliseconds
 * @param count 0 to 4095: ids of one seed sort by it
 */
export function uuidV7Of(seed: string, nowMs: number, count: number): string {
  const digest = createHash('sha256').update(`${count} ${seed}`).digest();
  return format(digest.subarray(0, 16), nowMs, count);
}

/**
 * UUIDv7s that sort in the order they were asked for, within one millisecond too: the 12 bits after the time count up
 * (RFC 9562 §6.2, method 1).
 */
export class UuidV7Sequence {
  private lastMs = 0;
  private count = 0;

  /** @param nowMs unix milliseconds */
  next(nowMs: number): string {
    const bytes = random();
    if (nowMs > this.lastMs) {
      this.lastMs = nowMs;
      // The upper half of the range is left to count in.
      this.count = bytes.readUInt16BE(6) & 0x07ff;
    } else if (this.count === 0x0fff) {
      this.lastMs += 1;
      this.count = 0;
    } else {
      this.count += 1;
    }
    return format(bytes, this.lastMs, this.count);
  }
}

function format(bytes: Buffer, atMs: number, count: number): string {
  bytes.writeUIntBE(atMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | count, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The smallest UUIDv7 of a moment: a bound for time ranges over keys. @param atMs unix milliseconds */
export function uuidV7Floor(atMs: number): string {
  const hex = Math.max(0, Math.floor(atMs)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`;
}
