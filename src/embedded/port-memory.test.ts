import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PortMemory } from './port-memory.js';
import { freePort } from './ports.js';

describe('the ports of a data folder', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'posthorn-ports-'));
    path = join(folder, 'ports.json');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('are the same after a restart, and each its own', async () => {
    const before = await PortMemory.load(path);
    const ports = await Promise.all(['one', 'two', 'three'].map((name) => before.take(name)));
    expect(new Set(ports).size).toBe(3);
    const after = await PortMemory.load(path);
    expect(await Promise.all(['one', 'two', 'three'].map((name) => after.take(name)))).toEqual(ports);
  });

  it('are none that somebody else has been promised, not even one that was remembered', async () => {
    const port = await freePort();
    await writeFile(path, JSON.stringify({ one: port }));
    const memory = await PortMemory.load(path);
    memory.reserve(port);
    const given = await memory.take('one', port);
    expect(given).not.toBe(port);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ one: given });
  });

  it('are new ones where the file was cut short', async () => {
    await writeFile(path, '{"one": 2');
    const memory = await PortMemory.load(path);
    expect(await memory.take('one')).toBeGreaterThan(0);
  });
});
