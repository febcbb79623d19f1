import { Inject, Injectable } from '@nestjs/common';
import { Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { type Credential, hashOf } from './credential.js';
import { type Attempt, FailedAttempts } from './failed-attempts.js';
import { sourceOf } from './source.js';

/** Of each kind: some 10 MiB at most, all together. */
const REMEMBERED = 20_000;
/** The kind and four letters: what the lists show of a key. */
const PREFIX = /^(?:phk|ptc)_.{4}/;

/** The way to find out whether a credential is good, whatever its kind: whoever guesses is slowed. */
@Injectable()
export class CredentialChecks {
  private readonly attempts: FailedAttempts;

  constructor(@Inject(SETTINGS_TOKEN) settings: Settings) {
    this.attempts = new FailedAttempts({
      perSource: settings.GUESSES_PER_ADDRESS,
      perPrefix: settings.GUESSES_PER_PREFIX,
      remembered: REMEMBERED,
    });
  }

  /**
   * Looks a credential up. What `lookUp` throws says nothing about the credential and is no failure of the caller's.
   *
   * @param address of whoever sends it
   * @param lookUp what the credential stands for, null for nothing
   * @throws Problem `too_many_failed_attempts`, before anything is looked up
   */
  async check<Found>(
    text: string,
    address: string | null,
    lookUp: (credential: Credential) => Promise<Found | null>,
  ): Promise<Found | null> {
    const credential = { text, hash: hashOf(text) };
    const attempt: Attempt = {
      source: sourceOf(address ?? undefined),
      prefix: PREFIX.exec(text)?.[0] ?? null,
      fingerprint: credential.hash.toString('base64'),
    };
    this.refuseGuesses(attempt);
    const found = await lookUp(credential);
    // Those that were sent at once, before the first had failed, learn no more than those sent one after another.
    this.refuseGuesses(attempt);
    if (found === null) this.attempts.failed(attempt, performance.now());
    else this.attempts.succeeded(attempt);
    return found;
  }

  private refuseGuesses(attempt: Attempt): void {
    const waitMs = this.attempts.waitMs(attempt, performance.now());
    if (waitMs === 0) return;
    throw new Problem('too_many_failed_attempts', 'Too many wrong credentials came from this address.', {
      retryAfterSeconds: Math.ceil(waitMs / 1000),
    });
  }
}
