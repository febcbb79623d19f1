import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Stands for the network: what the official download does in a test. */
let download: (folder: string) => Promise<string>;
jest.unstable_mockModule('../../src/embedded/official-download.js', () => ({
  officialDownload: (_kind: string, _version: string, folder: string) => download(folder),
}));
const { findTemporalCli } = await import('../../src/embedded/temporal-binary.js');

const environment = { ...process.env };
let folder: string;

async function program(path: string, script: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

const cli = (path: string, server: string) =>
  program(path, `echo 'temporal version 1.5.1 (Server ${server}, UI 2.42.1)'`);

/** A `go` that "builds" and notes each time that it does. */
const fakeGo = () =>
  program(
    join(folder, 'bin', 'go'),
    `echo "$@" >> '${folder}/go-runs'
sleep 0.2
printf '#!/bin/sh\\necho "temporal version 1.5.1 (Server 1.29.1, UI 2)"\\n' > "$GOBIN/temporal"
chmod 755 "$GOBIN/temporal"`,
  );

const goRuns = async () => (await readFile(join(folder, 'go-runs'), 'utf8')).trim().split('\n');
const find = () => findTemporalCli(() => undefined);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'posthorn-binary-'));
  process.env.PATH = `${join(folder, 'bin')}:/usr/bin:/bin`;
  process.env.POSTHORN_CACHE_DIR = join(folder, 'cache');
  delete process.env.POSTHORN_TEMPORAL_CLI;
  download = () => Promise.reject(new Error('no network in this test'));
});

afterEach(async () => {
  process.env = { ...environment };
  await rm(folder, { recursive: true, force: true });
});

describe('the Temporal CLI', () => {
  it('is the one that POSTHORN_TEMPORAL_CLI names, before the one on PATH', async () => {
    await cli(join(folder, 'bin', 'temporal'), '1.29.1');
    process.env.POSTHORN_TEMPORAL_CLI = await cli(join(folder, 'own', 'temporal'), '1.30.0');
    expect(await find()).toBe(join(folder, 'own', 'temporal'));
  });

  it('is refused where POSTHORN_TEMPORAL_CLI names something else, whatever else there is', async () => {
    await cli(join(folder, 'bin', 'temporal'), '1.29.1');
    process.env.POSTHORN_TEMPORAL_CLI = join(folder, 'nothing');
    await expect(find()).rejects.toThrow(/^POSTHORN_TEMPORAL_CLI=.*does not exist$/);
    process.env.POSTHORN_TEMPORAL_CLI = await program(join(folder, 'other'), 'echo hello');
    await expect(find()).rejects.toThrow('is not the Temporal CLI');
  });

  it('is the one on PATH when its server is new enough, without building one', async () => {
    await fakeGo();
    await cli(join(folder, 'bin', 'temporal'), '1.29.0');
    expect(await find()).toBe(join(folder, 'bin', 'temporal'));
    await expect(goRuns()).rejects.toThrow('ENOENT');
  });

  it('is not one with an older server: that is passed over for one that is built, once, and cached', async () => {
    await fakeGo();
    await cli(join(folder, 'bin', 'temporal'), '1.28.9');
    const path = await find();
    expect(path).toContain(join(folder, 'cache'));
    expect(await find()).toBe(path);
    expect(await goRuns()).toEqual(['install github.com/temporalio/cli/cmd/temporal@v1.5.1']);
  });

  it('is built once when two look for it at the same time', async () => {
    await fakeGo();
    const [first, second] = await Promise.all([find(), find()]);
    expect(first).toBe(second);
    expect(await goRuns()).toHaveLength(1);
  });

  it('is downloaded rather than built', async () => {
    await fakeGo();
    download = (into) => cli(join(into, 'temporal-v1.5.1'), '1.29.1');
    expect(await find()).toContain(join(folder, 'cache'));
    await expect(goRuns()).rejects.toThrow('ENOENT');
  });

  it('is not a download that cannot run', async () => {
    await fakeGo();
    download = (into) => program(join(into, 'temporal-v1.5.1'), 'exit 1');
    const path = await find();
    expect(await readFile(path, 'utf8')).toContain('Server 1.29.1');
    expect(await goRuns()).toHaveLength(1);
  });

  it('is missing with one message that says what was tried, why each failed, and what to install', async () => {
    await cli(join(folder, 'bin', 'temporal'), '1.28.0');
    await program(join(folder, 'bin', 'go'), 'echo "go: module lookup disabled" >&2; exit 1');
    const message = await find().then(
      () => 'found',
      (error: unknown) => (error as Error).message,
    );
    expect(message).toMatch(/PATH: .*server 1\.28; 1\.29 or newer is needed/);
    expect(message).toMatch(/the cache .*: nothing there/);
    expect(message).toMatch(/the official download: no network in this test/);
    expect(message).toMatch(/'go install' of version 1\.5\.1: go: module lookup disabled/);
    for (const help of ['POSTHORN_TEMPORAL_CLI', 'POSTHORN_TEMPORAL_ADDRESS', 'https://go.dev/dl']) {
      expect(message).toContain(help);
    }
  });
});
