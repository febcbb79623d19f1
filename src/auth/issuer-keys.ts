import {
  createLocalJWKSet,
  createRemoteJWKSet,
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JWSHeaderParameters,
} from 'jose';
import { Problem } from '../common/problems.js';
import { configurationUrl, isBelievable } from './issuer.js';

const ANSWER_WITHIN_MS = 5_000;
/** Older keys are asked for anew, beside the request that meets them. */
const FRESH_MS = 10 * 60_000;
/** Keys that cannot be asked for anew are believed for so long. */
const BELIEVED_MS = 24 * 3_600_000;
/** A key that is not there is looked for this often at most, whatever tokens claim. */
const COOL_DOWN_MS = 30_000;
/** An issuer that did not answer is left alone for so long. */
const REST_MS = 10_000;

interface Known {
  find: ReturnType<typeof createLocalJWKSet>;
  atMs: number;
}

/**
 * The keys of an OpenID Connect issuer. Those that are known are used at once, also while the issuer is away; nobody's
 * token makes a request each.
 */
export class IssuerKeys {
  private known: Known | null = null;
  private loading: Promise<Known> | null = null;
  private failedAtMs = -Infinity;

  /**
   * @param now milliseconds of a clock that never goes back
   * @param onFailure told why the issuer's keys cannot be had
   */
  constructor(
    private readonly issuer: string,
    private readonly now: () => number,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  /** @throws JWKSNoMatchingKey for a key that the issuer does not have; Problem `identity_provider_unavailable` */
  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    const known = this.known && this.ageOf(this.known) < BELIEVED_MS ? this.known : null;
    if (!known) return (await this.load()).find(header, token);
    const age = this.ageOf(known);
    try {
      const key = await known.find(header, token);
      // Who asks does not wait for it, and a failure has been told.
      if (age >= FRESH_MS) void this.load().catch(() => undefined);
      return key;
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || age < COOL_DOWN_MS) throw error;
      return (await this.load()).find(header, token);
    }
  }

  private ageOf({ atMs }: Known): number {
    return this.now() - atMs;
  }

  private load(): Promise<Known> {
    if (this.now() - this.failedAtMs < REST_MS) return Promise.reject(unavailable());
    this.loading ??= this.fetch()
      .catch((error: unknown) => {
        this.failedAtMs = this.now();
        this.onFailure(error);
        throw unavailable(error);
      })
      .finally(() => {
        this.loading = null;
      });
    return this.loading;
  }

  private async fetch(): Promise<Known> {
    const remote = createRemoteJWKSet(await this.discover(), { timeoutDuration: ANSWER_WITHIN_MS });
    await remote.reload();
    const keys = remote.jwks();
    if (!keys) throw new Error('the issuer has no keys');
    this.known = { find: createLocalJWKSet(keys), atMs: this.now() };
    return this.known;
  }

  private async discover(): Promise<URL> {
    const response = await fetch(configurationUrl(this.issuer), {
      headers: { accept: 'application/json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (response.status !== 200) throw new Error(`the issuer's configuration answered ${response.status}`);
    const { issuer, jwks_uri: uri } = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
    // OpenID Connect Discovery 1.0 §4.3: otherwise anybody's configuration would do.
    if (issuer !== this.issuer) throw new Error(`the issuer calls itself ${JSON.stringify(issuer)}`);
    const url = new URL(String(uri));
    if (!isBelievable(url)) throw new Error('the keys must be at an `https:` URL, or `http:` on loopback');
    return url;
  }
}

const unavailable = (cause?: unknown): Problem =>
  new Problem('identity_provider_unavailable', 'The keys of the identity provider cannot be had now.', {
    retryAfterSeconds: Math.ceil(REST_MS / 1000),
    cause,
  });
