import { SCHEMES, type SigningSchemeName } from './schemes.js';
import type { SigningSecret } from './secrets.js';

const MAX_KEPT = 10_000;

/** A secret as it is stored: encrypted, in hexadecimal digits. */
export type SealedSecret = [id: string, sealed: string];

interface Kept {
  scheme: SigningSchemeName;
  sealed: string;
  secret: SigningSecret;
}

/** Signing secrets ready to sign with: opening and parsing one takes longer than signing with it. */
export class OpenedSecrets {
  private readonly kept = new Map<string, Kept>();

  /** @param open decrypts what is stored under this id */
  constructor(private readonly open: (id: string, sealed: Buffer) => string) {}

  get([id, sealed]: SealedSecret, scheme: SigningSchemeName): SigningSecret {
    const known = this.kept.get(id);
    if (known?.scheme === scheme && known.sealed === sealed) return known.secret;
    const secret = SCHEMES[scheme].parse(this.open(id, Buffer.from(sealed, 'hex')));
    if (this.kept.size >= MAX_KEPT) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(id, { scheme, sealed, secret });
    return secret;
  }
}
