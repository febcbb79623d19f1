import { readSettings, SETTINGS } from '../config/settings.js';

export function showConfig(): void {
  const settings: Record<string, string | number | boolean | string[] | undefined> = readSettings(
    process.env,
  );
  for (const [name, definition] of Object.entries(SETTINGS)) {
    const value = settings[name.slice('POSTHORN_'.length)];
    const secret = 'secret' in definition;
    const shown = value === undefined ? '(unset)' : secret ? '(set)' : String(value);
    const byDefault = 'default' in definition ? `, default ${definition.default}` : '';
    process.stdout.write(`${name}=${shown}\n    ${definition.meaning}${byDefault}\n`);
  }
}
