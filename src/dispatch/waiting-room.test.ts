import { describe, expect, it } from '@jest/globals';
import { FairQueue, type Queued } from './fair-queue.js';
import { MAX_CLAIMED, WaitingRoom } from './waiting-room.js';

const MOST = 5_000;
const CROWDED = MOST / 2 - MAX_CLAIMED;
const EACH = 100;
const NONE = { endpoints: [], accounts: [] };

function roomWith(resting = 0) {
  const queues = [new FairQueue<Queued>(), new FairQueue<Queued>()] as const;
  let pushed = 0;
  const push = (
    queue: 0 | 1,
    count: number,
    endpointId = () => `e${pushed}`,
    accountId = () => `a${pushed}`,
  ) => {
    for (let left = count; left > 0; left -= 1) {
      queues[queue].push(
        { deliveryId: `d${pushed}`, accountId: accountId(), endpointId: endpointId(), priority: 3 },
        0,
      );
      pushed += 1;
    }
  };
  const isThereFor = (endpointId: string, accountId = 'newcomer') =>
    room.isThereFor({ endpointId, accountId });
  const room = new WaitingRoom(MOST, queues, { size: resting, of: () => 0 });
  return { room, push, isThereFor };
}

describe('the room for deliveries that wait in a process', () => {
  it('is there for all of one endpoint while half of it is free', () => {
    const { room, push, isThereFor } = roomWith();
    push(0, CROWDED - 1, () => 'long');
    expect([isThereFor('long'), room.left]).toEqual([true, MOST - CROWDED + 1]);
  });

  it('may be claimed for until others would get less for it', () => {
    const { room, push } = roomWith();
    const roomFor = (endpointId: string, accountId = 'newcomer') => room.roomFor({ endpointId, accountId });
    push(0, EACH - 1, () => 'long');
    expect(roomFor('long')).toBe(CROWDED - MAX_CLAIMED - EACH + 1);
    push(1, MOST / 2, undefined, () => 'many');
    expect([roomFor('long'), roomFor('new'), roomFor('new', 'many')]).toEqual([1, EACH, 0]);
    push(1, 1, () => 'long');
    expect(roomFor('long')).toBe(0);
  });

  it('is called full early enough that all of one claim has room', () => {
    const { room, push, isThereFor } = roomWith();
    push(0, CROWDED - MAX_CLAIMED - 1, () => 'long');
    expect([room.full, room.roomFor({ endpointId: 'long', accountId: 'newcomer' })]).toEqual([NONE, 1]);
    push(0, 1, () => 'long');
    expect([room.full.endpoints, room.roomFor({ endpointId: 'long', accountId: 'newcomer' })]).toEqual([
      ['long'],
      0,
    ]);
    expect(isThereFor('long')).toBe(true);
  });

  it('is left to the other endpoints of an account of which one has filled what it may', () => {
    const { push, isThereFor } = roomWith();
    const one = () => 'one';
    push(0, CROWDED, () => 'long', one);
    expect([isThereFor('long', 'one'), isThereFor('another', 'one')]).toEqual([false, true]);
  });

  it.each([
    ['one less than its share', EACH - 1, 0, true],
    ['its share', EACH, 0, false],
    ['its share in both lanes together', EACH / 2, EACH / 2, false],
  ])(
    'is there for an endpoint that has %s once half is taken, and says so to whoever claims',
    (_, one, other, isThere) => {
      const { room, push, isThereFor } = roomWith(CROWDED);
      push(0, one, () => 'long');
      push(1, other, () => 'long');
      expect(isThereFor('long')).toBe(isThere);
      expect(room.full).toEqual({ ...NONE, endpoints: isThere ? [] : ['long'] });
      expect(isThereFor('another')).toBe(true);
    },
  );

  it('is there for nobody once all is taken, whatever it is that waits', () => {
    const { room, push, isThereFor } = roomWith(MOST - 2);
    push(0, 1);
    expect([isThereFor('another'), room.left]).toEqual([true, 1]);
    push(1, 1);
    expect([isThereFor('another'), room.left]).toEqual([false, 0]);
  });

  it('is there for an account as long as it leaves more than it has, however many endpoints it has', () => {
    const { room, push, isThereFor } = roomWith(CROWDED);
    const one = () => 'one';
    const half = (MOST - CROWDED) / 2;
    push(0, half / 2, undefined, one);
    push(1, half / 2 - 1, undefined, one);
    expect([isThereFor('new', 'one'), room.full]).toEqual([true, NONE]);
    push(1, 2, undefined, one);
    expect([isThereFor('new', 'one'), room.full]).toEqual([false, { ...NONE, accounts: ['one'] }]);
    expect(isThereFor('new', 'another')).toBe(true);
  });
});
