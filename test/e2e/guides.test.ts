import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Receiver } from '../support/receiver.js';
import { System } from '../support/system.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GUIDES = join(ROOT, 'docs', 'guides');
/** What is shown of a call that is refused, by a system with other settings. */
const REFUSAL = /"status": 4\d\d/;

interface Block {
  language: string;
  text: string;
}

const blocksOf = (markdown: string): Block[] =>
  [...markdown.matchAll(/^ *```([a-z]+)\n(.*?)^ *```/gms)].map(([, language = '', text = '']) => ({
    language,
    text,
  }));

/** The commands of a page that speak to the API, or make what such a command needs. */
const commandsOf = (markdown: string): string[] =>
  blocksOf(markdown)
    .filter((block, index, blocks) => {
      const shown = blocks[index + 1];
      return block.language === 'sh' && !(shown?.language === 'json' && REFUSAL.test(shown.text));
    })
    .map(({ text }) => text)
    .filter((text) => /\b(curl|openssl req|openssl x509)\b/.test(text));

const guides = (await readdir(GUIDES)).sort();
const pages = new Map(
  await Promise.all(
    guides.map(async (name) => [name, commandsOf(await readFile(join(GUIDES, name), 'utf8'))] as const),
  ),
);
const [first = ''] = commandsOf(await readFile(join(ROOT, 'README.md'), 'utf8'));

describe('the commands of the guides', () => {
  let system: System;
  let receiver: Receiver;
  let folder: string;

  beforeAll(async () => {
    system = await System.start();
    receiver = await Receiver.answering(200);
    folder = await mkdtemp(join(tmpdir(), 'posthorn-test-guides-'));
    await mkdir(join(folder, '.posthorn'));
    await writeFile(join(folder, '.posthorn', 'operator-key'), system.rootKey);
  });
  afterAll(async () => {
    await system.stop();
    await receiver.stop();
    await rm(folder, { recursive: true });
  });

  it('are in the README and in most guides', () => {
    expect(first).toContain('curl');
    expect([...pages].filter(([, commands]) => commands.length > 0).length).toBeGreaterThan(10);
  });

  it.each([...pages].filter(([name, commands]) => commands.length > 0 && name !== 'docker-compose.md'))(
    'of %s are answered as they should, after those of the README',
    async (_name, commands) => {
      const script = [
        'set -eE -o pipefail',
        `trap 'echo "refused: $BASH_COMMAND" >&2' ERR`,
        'curl() { command curl -sS --fail-with-body "$@"; }',
        first,
        ...commands,
      ].join('\n');
      const here = script
        .replaceAll(/http:\/\/127\.0\.0\.1:8400|https:\/\/posthorn\.example\.com/g, system.url)
        .replaceAll(/http:\/\/127\.0\.0\.1:9000/g, new URL(receiver.url).origin);
      expect(await run(here, folder)).toEqual({ code: 0, complaints: '' });
    },
  );
});

/** @returns with what is of use to whoever mends a page */
function run(script: string, cwd: string): Promise<{ code: number; complaints: string }> {
  return new Promise((resolve) => {
    execFile('bash', ['-c', script], { cwd, timeout: 60_000 }, (error, stdout, stderr) => {
      const complaints = error ? `${stdout.slice(-2_000)}\n${stderr}` : '';
      resolve({ code: error ? Number(error.code ?? 1) : 0, complaints });
    });
  });
}
