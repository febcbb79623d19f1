import { readFileSync, writeFileSync } from 'node:fs';
import { say } from '../terminal.js';
import { parse } from './usage.js';

/** Writes or compares a generated file that reviewers read. */
export async function document(
  args: string[],
  command: string,
  render: () => Promise<string>,
): Promise<void> {
  const { values } = parse(args, { write: { type: 'string' }, check: { type: 'string' } });
  const text = await render();
  if (values.write !== undefined) writeFileSync(values.write, text);
  else if (values.check === undefined) process.stdout.write(text);
  else if (readFileSync(values.check, 'utf8') !== text) {
    throw new Error(
      `${values.check} is out of date; run \`npm run posthorn -- ${command} --write ${values.check}\``,
    );
  } else say(`${values.check} is up to date.`);
}
