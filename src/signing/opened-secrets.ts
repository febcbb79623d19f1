import { SCHEMES, type SigningSchemeName } from './schemes.js';
import type { SigningSecret } from './secrets.js';

const MAX_KEPT = 10_000;

interface Kept {
  scheme: SigningSchemeName;
  sealed: Buffer;
  secret: SigningSecret;
}

/** Signing secrets ready to sign with: opening and parsing one takes longer than signing with it. */
export class OpenedSecrets {
  private readonly kept = new Map<string, Kept>();

  /** @param open decrypts what is stored under this id */
  constructor(private readonly open: (id: string, sealed: Buffer) => string) {}

  get(id: string, sealed: Buffer, scheme: SigningSchemeName): SigningSecret {
    const known = this.kept.get(id);
    if (known?.scheme === scheme && known.sealed.equals(sealed)) return known.secret;
    const secret = SCHEMES[scheme].parse(this.open(id, sealed));
    if (this.kept.size >= MAX_KEPT) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(id, { scheme, sealed, secret });
    return secret;
  }
}
