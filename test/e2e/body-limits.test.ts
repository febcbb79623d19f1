import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Published } from '../../src/events/events.schema.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

const MIB = 1024 * 1024;
/** JSON text of this many bytes. */
const text = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`;

interface Refusal {
  code: string;
  detail: string;
  errors?: { pointer: string }[];
}

describe('the size of a body', () => {
  let system: System;
  let account: Account;

  const publish = (data: string) =>
    system.call<Published & Refusal>('POST', `${account.path}/events`, `{"type":"big","data":${data}}`);
  const kept = async () =>
    (await system.ok<{ data: unknown[] }>('GET', `${account.path}/events`)).data.length;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  it('may be 1 MiB of data, which is delivered whole', async () => {
    const receiver = await Receiver.start();
    try {
      await account.endpoint({ url: receiver.url });
      const data = text(MIB);
      expect((await publish(data)).status).toBe(202);
      const [request] = await receiver.got(1);
      expect(request?.body.endsWith(`"data":${data}}`)).toBe(true);
    } finally {
      await receiver.stop();
    }
  });

  it('is counted in bytes, not in characters', async () => {
    const inCharacters = `"${'é'.repeat((MIB - 2) / 2)}"`;
    expect((await publish(inCharacters)).status).toBe(202);
    expect((await publish(`${inCharacters.slice(0, -1)}x"`)).status).toBe(413);
  });

  it('is refused from one byte of data more', async () => {
    const answer = await publish(text(MIB + 1));
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.body.errors?.map(({ pointer }) => pointer)).toEqual(['/data']);
    expect(answer.body.detail).toContain(String(MIB));
    expect(await kept()).toBe(0);
  });

  it('is refused for one event of a batch, and with it the batch', async () => {
    const events = (...sizes: number[]) =>
      `{"events":[${sizes.map((size) => `{"type":"big","data":${text(size)}}`).join()}]}`;
    const path = `${account.path}/events/batch`;
    const answer = await system.call<Refusal>('POST', path, events(10, MIB + 1, 10));
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
    expect(answer.body.errors?.map(({ pointer }) => pointer)).toEqual(['/events/1/data']);
    expect(await kept()).toBe(0);
    expect((await system.call('POST', path, events(MIB, MIB, 10))).status).toBe(202);
    expect(await kept()).toBe(3);
  });

  it.each([
    ['of a publish', 2 * MIB, () => `${account.path}/events`],
    ['of a batch', 17 * MIB, () => `${account.path}/events/batch`],
    ['of anything else', 2 * MIB, () => '/accounts'],
  ])('%s is limited as a whole, and the answer names the limit', async (_, bytes, path) => {
    const answer = await system.call<Refusal>('POST', path(), `{"name":${text(bytes)}}`);
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
    expect(Number(/(\d+) bytes/.exec(answer.body.detail)?.[1])).toBeLessThan(bytes);
    expect((await publish('1')).status).toBe(202);
  });

  it('is limited where its length is not told beforehand', async () => {
    const endless = new ReadableStream({
      pull: async (controller) => {
        // Where the server is another process, it may read as fast as this writes: the answer must get its turn.
        await nextTurn();
        controller.enqueue(Buffer.alloc(64 * 1024, 'x'));
      },
    });
    const answer = await fetch(`${system.url}/v1${account.path}/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${system.rootKey}`, 'content-type': 'application/json' },
      body: endless,
      duplex: 'half',
    }).then(
      ({ status }) => status,
      // Closing while the caller still sends is as good a refusal.
      () => 413,
    );
    expect(answer).toBe(413);
    expect((await publish('1')).status).toBe(202);
  });

  it('of a batch is 1,000 events, and not none', async () => {
    const batch = (count: number) =>
      system.call<Refusal & { data: unknown[] }>('POST', `${account.path}/events/batch`, {
        events: Array.from({ length: count }, (_, data) => ({ type: 'many', data })),
      });
    expect((await batch(1000)).body.data).toHaveLength(1000);
    for (const count of [0, 1001, 50_000]) {
      const { status, body } = await batch(count);
      expect([count, status, body.errors?.[0]?.pointer]).toEqual([count, 422, '/events']);
    }
  });

  it('is what POSTHORN_EVENT_BYTES says', async () => {
    const small = await System.start({ like: system, env: { POSTHORN_EVENT_BYTES: '2048' } });
    try {
      const send = (bytes: number) =>
        small.call('POST', `${account.path}/events`, `{"type":"a","data":${text(bytes)}}`);
      expect((await send(2048)).status).toBe(202);
      expect((await send(2049)).status).toBe(413);
    } finally {
      await small.stop();
    }
  });
});
