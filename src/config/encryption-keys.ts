import { KeyRing } from '../secrets/key-ring.js';
import { type Settings, SettingsError } from './settings.js';

/**
 * The key ring of the settings.
 *
 * @returns null for an embedded system that has its own, made on its first start
 * @throws SettingsError where there must be one
 */
export function givenEncryptionKeys({ ENCRYPTION_KEYS: keys, DATABASE_URL: url }: Settings): string | null {
  if (keys === undefined && url !== undefined) {
    throw new SettingsError([
      `POSTHORN_ENCRYPTION_KEYS: is required with POSTHORN_DATABASE_URL; a new one: ${KeyRing.generate()}`,
    ]);
  }
  return keys ?? null;
}
