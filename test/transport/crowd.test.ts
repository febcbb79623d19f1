import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { StoppableReceiver } from '../support/stoppable-receiver.js';
import { failureOf, post, receivers, responseOf } from './receivers.js';

const { http, listen, transport } = receivers();

/** More than the receiver's queue holds, and more than one host may have of us. */
const MANY = 60;
const crowd = 30;

describe('a host that our own number keeps busy', () => {
  let receiver: StoppableReceiver;
  beforeEach(async () => {
    receiver = await StoppableReceiver.start(16);
  });
  afterEach(() => receiver.end());

  const sendMany = (count: number, settled: () => void = () => undefined) => {
    const sender = transport({ crowd, connectTimeoutMs: 700 });
    const one = async () => {
      const result = await sender.send(post(receiver.url, { timeoutMs: 8000 }));
      settled();
      return result;
    };
    return Promise.all(Array.from({ length: count }, one));
  };

  it('is not charged for connections that found its queue full', async () => {
    receiver.stop();
    const results = await sendMany(MANY, () => receiver.goOn());
    const keptOut = results.filter(({ ok }) => !ok).map(failureOf);
    expect(keptOut.length).toBeGreaterThan(0);
    for (const failure of keptOut) {
      expect(failure.code).toBe('connect_timeout');
      expect(failure.comeBackMs).toBeGreaterThanOrEqual(1000);
    }
    const answered = results.filter(({ ok }) => ok).map(responseOf);
    expect(answered.length).toBeGreaterThan(0);
  });

  it('is charged when it has no more of us than it may have', async () => {
    receiver.stop();
    const results = await sendMany(crowd);
    const codes = results.map(failureOf).map(({ code, comeBackMs }) => `${code} ${comeBackMs ?? ''}`);
    expect(codes).toContain('connect_timeout ');
    expect(codes.filter((code) => /\d/.test(code))).toEqual([]);
  }, 20_000);

  it('is charged at once when it is dead, however many of us wait', async () => {
    await receiver.die();
    const results = await sendMany(MANY);
    const failures = results.map(failureOf);
    expect(failures.map(({ code }) => code)).toEqual(Array.from({ length: MANY }, () => 'connect_timeout'));
    expect(failures.filter(({ comeBackMs }) => comeBackMs !== undefined)).toEqual([]);
  });

  it('is not charged for TLS that it does not come to either', async () => {
    const { port } = await listen(createServer(() => undefined));
    const sender = transport({ crowd, connectTimeoutMs: 500 });
    const results = await Promise.all(
      Array.from({ length: MANY }, () => sender.send(post(`https://127.0.0.1:${port}/`))),
    );
    for (const failure of results.map(failureOf)) {
      expect(failure).toMatchObject({ code: 'connect_timeout' });
      expect(failure.comeBackMs).toBeGreaterThan(0);
    }
  });

  it('is charged for answers that do not come: those it has taken upon itself', async () => {
    const { url } = await http(() => undefined);
    const sender = transport({ crowd });
    const results = await Promise.all(
      Array.from({ length: MANY }, () => sender.send(post(url, { timeoutMs: 1000 }))),
    );
    for (const failure of results.map(failureOf)) {
      expect(failure.code).toBe('response_timeout');
      expect(failure.comeBackMs).toBeUndefined();
    }
  });
});
