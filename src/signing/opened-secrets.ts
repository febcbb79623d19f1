import { parseSigningSecret, type SigningSecret } from './secrets.js';

const MAX_KEPT = 10_000;

interface Kept {
  sealed: Buffer;
  secret: SigningSecret;
}

/** Signing secrets ready to sign with: opening and parsing one takes longer than signing with it. */
export class OpenedSecrets {
  private readonly kept = new Map<string, Kept>();

  /** @param open decrypts what is stored under this id */
  constructor(private readonly open: (id: string, sealed: Buffer) => string) {}

  get(id: string, sealed: Buffer): SigningSecret {
    const known = this.kept.get(id);
    if (known?.sealed.equals(sealed)) return known.secret;
    const secret = parseSigningSecret(this.open(id, sealed));
    if (this.kept.size >= MAX_KEPT) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(id, { sealed, secret });
    return secret;
  }
}
