import { readSettings, type Settings, unknownSettings } from '../config/settings.js';
import { say } from '../terminal.js';

/** The settings of this process, with a word on those that are none. */
export function settingsOf(): Settings {
  for (const name of unknownSettings(process.env)) say(`${name}: there is no such setting; it is ignored`);
  return readSettings(process.env);
}
