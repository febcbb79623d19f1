import { describe, expect, it } from '@jest/globals';
import type { TransportResult } from '../transport/types.js';
import { AskRoom } from './ask-room.js';

const SILENT = { ok: false, failure: { code: 'response_timeout' } } as TransportResult;

describe('the room for asking endpoints', () => {
  it('keeps an account with many silent ones from taking it all, and is free once they are over', async () => {
    const room = new AskRoom();
    let over: () => void = () => undefined;
    const silence = new Promise<void>((resolve) => {
      over = resolve;
    });
    const silent = () => silence.then(() => ({ result: SILENT }));
    const many = Array.from({ length: 100 }, () => room.ask('many', silent));
    const other = room.ask('other', silent);
    over();
    const answers = await Promise.all(many);
    expect(answers.filter((answer) => answer === SILENT)).toHaveLength(16);
    expect(answers.filter((answer) => typeof answer === 'number' && answer >= 5_000)).toHaveLength(84);
    expect(await other).toBe(SILENT);
    expect(await room.ask('many', silent)).toBe(SILENT);
  });

  it('says when to come back where the endpoint was kept from answering by others of ours', async () => {
    const crowded = { ok: false, failure: { code: 'connect_timeout', comeBackMs: 1_234 } } as TransportResult;
    expect(await new AskRoom().ask('a', () => Promise.resolve({ result: crowded }))).toBe(1_234);
  });
});
