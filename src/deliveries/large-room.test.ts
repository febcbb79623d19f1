import { describe, expect, it } from '@jest/globals';
import { LargeRoom } from './large-room.js';

const MIB = 1024 * 1024;

function room() {
  const large = new LargeRoom();
  let made = 0;
  const send = (account: string, endpoint: string) => {
    made += 1;
    return { id: `d${made}`, account_id: account, endpoint_id: endpoint, bytes: MIB };
  };
  /** @returns the ids of those that found room, and those that wait for it */
  const fill = async (account: string, endpoints: string[]) => {
    const entered: string[] = [];
    const waiting = endpoints.map((endpoint) => {
      const one = send(account, endpoint);
      return large.enter(one).then((isIn) => isIn && entered.push(one.id));
    });
    await new Promise(setImmediate);
    return { entered, waiting: Promise.all(waiting) };
  };
  return { large, send, fill };
}

const several = (count: number, name: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => name(index));

describe('the room for large events', () => {
  it('is half for an account that is alone, and some for whoever comes next', async () => {
    const { fill } = room();
    const of = async (account: string) =>
      (
        await fill(
          account,
          several(40, (index) => `${account}${index}`),
        )
      ).entered.length;
    expect([await of('a'), await of('b'), await of('c')]).toEqual([32, 16, 8]);
  });

  it('leaves some to the other endpoints of an account', async () => {
    const { fill } = room();
    const { entered } = await fill(
      'a',
      several(40, () => 'hangs'),
    );
    expect(entered).toHaveLength(22);
    expect((await fill('a', ['other'])).entered).toHaveLength(1);
  });

  it('is given to who waits for it as soon as somebody leaves', async () => {
    const { large, fill } = room();
    const { entered } = await fill(
      'a',
      several(33, (index) => `e${index}`),
    );
    expect(entered).toHaveLength(32);
    large.leave(entered[0] ?? '');
    await new Promise(setImmediate);
    expect(entered).toHaveLength(33);
  });

  it('is not found by who waits too long, who then waits no more', async () => {
    const { large, send, fill } = room();
    const { entered } = await fill(
      'a',
      several(32, (index) => `e${index}`),
    );
    const late = send('a', 'late');
    expect(await large.enter(late)).toBe(false);
    large.leave(entered[0] ?? '');
    expect(await large.enter(send('a', 'next'))).toBe(true);
  });

  it('is taken once by a delivery, and left once', async () => {
    const { large, send, fill } = room();
    const one = send('a', 'e');
    expect([await large.enter(one), await large.enter(one)]).toEqual([true, true]);
    large.leave(one.id);
    large.leave(one.id);
    expect(
      (
        await fill(
          'a',
          several(40, (index) => `e${index}`),
        )
      ).entered,
    ).toHaveLength(32);
  });
});
