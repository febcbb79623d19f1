import { afterAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { EmbeddedFixture, ended, eventually, killAll, orphan } from './embedded.fixture.js';
import { freePort } from '../../src/embedded/ports.js';
import { isRunning } from '../../src/embedded/processes.js';

const COLOUR = defineSearchAttributeKey('Colour', 'KEYWORD');
const fixture = new EmbeddedFixture();
afterAll(() => fixture.end());

async function withClient<T>(address: string | undefined, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: address ?? '' });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

const startWorkflow = (address: string | undefined, workflowId: string) =>
  withClient(address, (client) =>
    client.workflow.start('nobody-runs-it', {
      taskQueue: 'none',
      workflowId,
      typedSearchAttributes: [{ key: COLOUR, value: 'red' }],
    }),
  );

const statusOf = (address: string | undefined, workflowId: string) =>
  withClient(address, async (client) => (await client.workflow.getHandle(workflowId).describe()).status.name);

describe('embedded Temporal', () => {
  it('keeps its workflows and address over a kill -9 of everything', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'temporal');
    await startWorkflow(held.temporalAddress, 'kept');
    await killAll(held);

    const again = await fixture.start(dataDir, { temporal: true });
    expect(again.temporalAddress).toBe(held.temporalAddress);
    expect(await statusOf(again.temporalAddress, 'kept')).toBe('RUNNING');
    const page = await fetch(again.temporalUiUrl ?? '');
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('<html');
  });

  it('ends the server of a killed run that is still there', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'temporal');
    await startWorkflow(held.temporalAddress, 'kept');
    const left = await orphan(held);
    expect(await isRunning(left)).toBe(true);

    const again = await fixture.start(dataDir, { temporal: true });
    expect(await isRunning(left)).toBe(false);
    expect(await statusOf(again.temporalAddress, 'kept')).toBe('RUNNING');
  });

  it('is started again where it was when it dies, and ends with stop', async () => {
    const servers = await fixture.start(await fixture.folder(), { temporal: true });
    const [pid = 0] = servers.pids();
    process.kill(pid, 'SIGKILL');
    await ended([pid]);
    await eventually(() => startWorkflow(servers.temporalAddress, 'after'));
    const now = servers.pids();
    await servers.stop();
    for (const one of now) expect(await isRunning(one)).toBe(false);
  });

  it('has its Web UI at the port that was set, whatever had that one before', async () => {
    const dataDir = await fixture.folder();
    const uiPort = await freePort();
    await writeFile(join(dataDir, 'ports.json'), JSON.stringify({ 'temporal-http': uiPort }));
    const { temporalUiUrl = '' } = await fixture.start(dataDir, { temporal: true, temporalUiPort: uiPort });
    expect(new URL(temporalUiUrl).port).toBe(String(uiPort));
    expect((await fetch(temporalUiUrl)).status).toBe(200);
  });

  it('says which setting to change when the Web UI port that was set is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as { port: number };
    try {
      const refused = fixture.start(await fixture.folder(), { temporal: true, temporalUiPort: port });
      await expect(refused).rejects.toThrow(`POSTHORN_TEMPORAL_UI_PORT: port ${port} is taken`);
    } finally {
      holder.close();
    }
  });
});
