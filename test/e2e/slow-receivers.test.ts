import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { System } from '../support/system.js';
import { until } from '../support/until.js';

/** More than may be under way in workflow tasks. */
const HANGING = { endpoints: 25, events: 20, enough: 450 };

describe.each(['durable', 'express'] as const)('receivers that do not answer in the lane %s', (lane) => {
  let system: System;
  let hanging: Receiver;
  let healthy: Receiver;
  let gate: Gate;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    gate = new Gate();
    hanging = await Receiver.start();
    hanging.answers(gate.answer);
    healthy = await Receiver.start();
  });
  afterEach(() => Promise.all([hanging.stop(), healthy.stop()]));

  it('keep nobody else waiting, however many they are', async () => {
    const many = await system.account();
    for (let made = 0; made < HANGING.endpoints; made += 1) await many.endpoint({ url: hanging.url });
    const events = Array.from({ length: HANGING.events }, (_, data) => ({ type: 'a.b', data }));
    await system.ok('POST', `${many.path}/events/batch`, { events });
    await until(
      () => gate.held,
      (held) => held >= HANGING.enough,
    );
    const other = await system.account();
    await other.endpoint({ url: healthy.url });
    await other.publish();
    await healthy.got(1);
    expect(hanging.received.length).toBeLessThan(2 * HANGING.endpoints * HANGING.events);
    gate.open();
    await hanging.got(HANGING.endpoints * HANGING.events);
  });
});
