import { describe, expect, it } from '@jest/globals';
import type { AttemptSummary } from '../../workflows/contracts.js';
import type { Database } from '../database/database.js';
import { type AttemptDetails, Recorder } from './recorder.js';

const ID = '01900000-0000-7000-8000-000000000001';
const ATTEMPT: AttemptSummary = {
  number: 1,
  trigger: 'schedule',
  startedAtMs: 1_700_000_000_000,
  durationMs: 12,
  outcome: 'delivered',
  statusCode: 204,
};
const DETAILS: AttemptDetails = { request: null };

interface Write {
  end: () => void;
  fail: (error: Error) => void;
}

/** A recorder whose writes end when the test says so: what is written is tested with PostgreSQL. */
function recorderWith() {
  const writes: Write[] = [];
  const database = {
    prepared: () =>
      new Promise<unknown[]>((resolve, reject) => writes.push({ end: () => resolve([]), fail: reject })),
  } as unknown as Database;
  const written = async (index: number): Promise<Write> => {
    for (;;) {
      const write = writes[index];
      if (write) return write;
      await new Promise(setImmediate);
    }
  };
  return { recorder: new Recorder(database), written };
}

describe('what an attempt came to', () => {
  it('is known to whoever might make the attempt again while it is being written, and no longer', async () => {
    const { recorder, written } = recorderWith();
    const recording = recorder.record(ID, ATTEMPT, { kind: 'delivered' }, DETAILS);
    expect([recorder.keeps(ID, 1), recorder.keeps(ID, 2)]).toEqual([true, false]);
    (await written(0)).end();
    await recording;
    expect(recorder.keeps(ID, 1)).toBe(false);
  });

  it('stays known when it could not be written, until it is', async () => {
    const { recorder, written } = recorderWith();
    const recording = recorder.record(ID, ATTEMPT, { kind: 'delivered' }, DETAILS);
    (await written(0)).fail(Object.assign(new Error('no answer'), { code: 'ECONNRESET' }));
    await expect(recording).rejects.toThrow('no answer');
    expect(recorder.keeps(ID, 1)).toBe(true);
    (await written(1)).end();
    while (recorder.keeps(ID, 1)) await new Promise(setImmediate);
    await recorder.drained();
  });

  it('is written before the process ends when it could not be before', async () => {
    const { recorder, written } = recorderWith();
    const recording = recorder.record(ID, ATTEMPT, { kind: 'delivered' }, DETAILS);
    (await written(0)).fail(Object.assign(new Error('no answer'), { code: 'ECONNRESET' }));
    await expect(recording).rejects.toThrow('no answer');
    const drained = recorder.drained();
    (await written(1)).end();
    await drained;
    expect(recorder.keeps(ID, 1)).toBe(false);
  });
});
