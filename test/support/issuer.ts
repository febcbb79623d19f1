import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { ended, started } from './left-over.js';

interface SigningKey {
  kid: string;
  algorithm: string;
  privateKey: CryptoKey;
  publicJwk: JWK;
}

/** An OpenID Connect issuer on loopback: its configuration, its keys, and tokens that it signs. */
export class Issuer {
  /** Paths that were asked for. */
  readonly requests: string[] = [];
  /** How it answers, where not as it should. */
  answer: 'well' | 'with an error' | 'elsewhere' | 'never' = 'well';
  /** What it calls itself, where not by its address. */
  alias: string | undefined;
  /** Where it says that its keys are, where not at its address. */
  keysAt: string | undefined;
  private keys: SigningKey[] = [];
  private server: Server | null = null;
  private port = 0;

  private constructor() {
    // Made by start alone.
  }

  static async start(): Promise<Issuer> {
    const issuer = new Issuer();
    await issuer.rotate();
    await issuer.open();
    started(issuer, () => issuer.stop());
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get keyRequests(): number {
    return this.requests.filter((path) => path === '/keys').length;
  }

  get newest(): SigningKey {
    const [key] = this.keys;
    if (!key) throw new Error('the issuer has no key');
    return key;
  }

  /** Signs with a new key from now on. The old ones are withdrawn unless they are kept. */
  async rotate({ keep = false, algorithm = 'ES256' } = {}): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const kid = `key-${crypto.randomUUID()}`;
    const publicJwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' };
    this.keys = [{ kid, algorithm, privateKey, publicJwk }, ...(keep ? this.keys : [])];
  }

  /** A token for ten minutes; claims that are undefined are left out. */
  sign(claims: Record<string, unknown>, key: SigningKey = this.newest): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const payload = { iss: this.url, iat: now, exp: now + 600, ...claims };
    return new SignJWT(JSON.parse(JSON.stringify(payload)) as JWTPayload)
      .setProtectedHeader({ alg: key.algorithm, kid: key.kid })
      .sign(key.privateKey);
  }

  /** At the same address as before. */
  async open(): Promise<void> {
    this.server = createServer((request, response) => {
      this.requests.push(request.url ?? '');
      if (this.answer === 'never') return;
      if (this.answer === 'elsewhere') {
        response.writeHead(302, { location: `${this.url}/elsewhere` }).end();
        return;
      }
      const body = this.answer === 'with an error' ? undefined : this.page(request.url);
      response.writeHead(body === undefined ? 503 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body ?? {}));
    });
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    ended(this);
    const { server } = this;
    this.server = null;
    if (!server) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  private page(path: string | undefined): unknown {
    switch (path) {
      case '/.well-known/openid-configuration':
        return { issuer: this.alias ?? this.url, jwks_uri: this.keysAt ?? `${this.url}/keys` };
      case '/keys':
        return { keys: this.keys.map(({ publicJwk }) => publicJwk) };
      default:
        return undefined;
    }
  }
}
