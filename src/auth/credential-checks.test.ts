import { describe, expect, it } from '@jest/globals';
import { readSettings } from '../config/settings.js';
import { CredentialChecks } from './credential-checks.js';

const ADDRESS = '192.0.2.1';

describe('the check of credentials', () => {
  const open = () =>
    new CredentialChecks(
      readSettings({ POSTHORN_GUESSES_PER_ADDRESS: '5', POSTHORN_GUESSES_PER_PREFIX: '5' }),
    );
  const outcome = (asked: Promise<string | null>) =>
    asked.then(
      (found) => found ?? 'wrong',
      (error: unknown) => String((error as { code?: unknown }).code),
    );

  it('tells no more to many that come at once than to as many one after another', async () => {
    const checks = open();
    let answer: () => void = () => undefined;
    const looked = new Promise<void>((resolve) => (answer = resolve));
    const asked = Array.from({ length: 20 }, (_, each) =>
      outcome(
        checks.check(`guess ${each}`, ADDRESS, () => looked.then(() => (each === 19 ? 'right' : null))),
      ),
    );
    answer();
    const told = await Promise.all(asked);
    expect(told.filter((each) => each === 'wrong')).toHaveLength(5);
    expect(told.filter((each) => each === 'too_many_failed_attempts')).toHaveLength(15);
  });

  it('looks nothing up for whom it refuses', async () => {
    const checks = open();
    let lookUps = 0;
    const guess = () =>
      outcome(
        checks.check('x', ADDRESS, () => {
          lookUps += 1;
          return Promise.resolve(null);
        }),
      );
    for (let count = 0; count < 20; count += 1) await guess();
    expect(lookUps).toBe(5);
  });

  it('counts nothing where the lookup itself fails', async () => {
    const checks = open();
    for (let count = 0; count < 20; count += 1) {
      const asked = checks.check('x', ADDRESS, () => Promise.reject(new Error('the database is away')));
      await expect(asked).rejects.toThrow('away');
    }
  });
});
