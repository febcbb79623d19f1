import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { System } from '../support/system.js';
import { until } from '../support/until.js';

/** Fewer attempts at once than there are endpoints that wait for the service. */
const CROWD = { endpoints: 24, events: 4, attempts: 16 };

describe.each(['durable', 'express'] as const)('a lookup that hangs in the lane %s', (lane) => {
  let system: System;

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_LANE: lane, POSTHORN_ATTEMPT_CONCURRENCY: String(CROWD.attempts) },
    });
  });
  afterAll(() => system.stop());

  it('keeps nobody else waiting, however many ask for it', async () => {
    const gate = new Gate();
    const [service, receiver, healthy] = await Promise.all([
      Receiver.start((response, ...rest) => {
        response.write('{}');
        gate.answer(response, ...rest);
      }),
      Receiver.start(),
      Receiver.start(),
    ]);
    await system.ok('POST', '/lookups', {
      name: 'hanging',
      url: `${new URL(service.url).origin}/{{ event.id }}/{{ endpoint.id }}`,
      timeoutMs: 5_000,
    });
    const many = await system.account();
    for (let count = 0; count < CROWD.endpoints; count += 1)
      await many.endpoint({ url: receiver.url, lookups: ['hanging'], retrySchedule: [1, 1, 1, 1] });
    const events = Array.from({ length: CROWD.events }, (_, data) => ({ type: 'a.b', data }));
    await system.ok('POST', `${many.path}/events/batch`, { events });
    await until(
      () => gate.held,
      (held) => held > CROWD.attempts,
    );
    const other = await system.account();
    await other.endpoint({ url: healthy.url });
    for (let count = 1; count <= 5; count += 1) {
      await other.publish();
      await healthy.got(count);
    }
    expect(receiver.received).toEqual([]);
    gate.open();
    await receiver.got(CROWD.endpoints * CROWD.events);
    await Promise.all([service.stop(), receiver.stop(), healthy.stop()]);
  });
});
