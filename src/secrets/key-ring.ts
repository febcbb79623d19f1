import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A sealed value cannot be opened: wrong key, wrong row, or changed bytes. */
export class SealBrokenError extends Error {
  readonly code = 'seal_broken';
}

/**
 * Encrypts secrets at rest with AES-256-GCM (NIST SP 800-38D). The newest key seals, every key of the ring opens, so a
 * key is changed by putting a new one in front. `context` names the row and column and is authenticated with the
 * value: a sealed value that is copied to another row does not open there.
 *
 * Layout: version (1 byte), length of the key's name (1), name, nonce (12), ciphertext, tag (16).
 */
export class KeyRing {
  private readonly keys = new Map<string, KeyObject>();
  private readonly newest: string;

  /** @param text `name:base64 of 32 bytes`, comma-separated, newest first. @throws Error saying which entry is wrong */
  constructor(text: string) {
    let newest: string | undefined;
    for (const [index, entry] of text.split(',').entries()) {
      const [, name, encoded] = /^\s*([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]{43}=)\s*$/.exec(entry) ?? [];
      if (name === undefined || encoded === undefined) {
        throw new Error(`key ${index + 1} must be \`name:base64 of 32 bytes\``);
      }
      if (this.keys.has(name)) throw new Error(`there are two keys named ${name}`);
      this.keys.set(name, createSecretKey(Buffer.from(encoded, 'base64')));
      newest ??= name;
    }
    if (newest === undefined) throw new Error('the key ring is empty');
    this.newest = newest;
  }

  static generate(): string {
    return `k1:${randomBytes(32).toString('base64')}`;
  }

  /** What every value sealed by the newest key begins with. */
  get newestMark(): Buffer {
    const name = Buffer.from(this.newest);
    return Buffer.concat([Buffer.from([VERSION, name.length]), name]);
  }

  seal(plaintext: string, context: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.key(this.newest), nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
    return Buffer.concat([this.newestMark, nonce, sealed, cipher.getAuthTag()]);
  }

  /** @throws SealBrokenError */
  open(sealed: Buffer, context: string): string {
    const nameEnd = 2 + (sealed[1] ?? 0);
    if (sealed[0] !== VERSION || sealed.length < nameEnd + NONCE_BYTES + TAG_BYTES) {
      throw new SealBrokenError('the layout of what is encrypted is unknown');
    }
    const name = sealed.toString('utf8', 2, nameEnd);
    const decipher = createDecipheriv(
      'aes-256-gcm',
      this.key(name),
      sealed.subarray(nameEnd, nameEnd + NONCE_BYTES),
      {
        authTagLength: TAG_BYTES,
      },
    );
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      const body = sealed.subarray(nameEnd + NONCE_BYTES, -TAG_BYTES);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new SealBrokenError(`what key ${name} has encrypted does not open`, { cause });
    }
  }

  /**
   * A key of 32 bytes that is made from one of the ring and serves one purpose (HKDF-SHA-256, RFC 5869).
   *
   * @param name of the ring's key; absent: the newest. @returns null where the ring has none of that name
   */
  derive(purpose: string, name = this.newest): { name: string; key: Uint8Array } | null {
    const key = this.keys.get(name);
    return key ? { name, key: new Uint8Array(hkdfSync('sha256', key, '', purpose, 32)) } : null;
  }

  private key(name: string): KeyObject {
    const key = this.keys.get(name);
    if (!key) throw new SealBrokenError(`key ${name} is not in POSTHORN_ENCRYPTION_KEYS`);
    return key;
  }
}
