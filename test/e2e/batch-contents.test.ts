import { describe, expect, it } from '@jest/globals';
import { type CloudEvent, HTTP } from 'cloudevents';
import type { Answering } from '../support/receiver.js';
import { eachCollecting, itemsIn, numbersIn } from '../support/batches.js';

/** Answers 207 with the status that `statusOf` gives to each number; undefined leaves it out. */
const answersEach =
  (statusOf: (n: number, count: number) => number | undefined): Answering =>
  (response, received, count) => {
    const results = itemsIn(received)
      .map(({ id, data }) => ({ id, status: statusOf(data.n, count) }))
      .filter(({ status }) => status !== undefined);
    response.writeHead(207, { 'content-type': 'application/json' }).end(JSON.stringify({ results }));
  };

describe('what is in an array of events, and what is answered for each', () => {
  const world = eachCollecting();

  const publishAll = async (...numbers: number[]) => {
    const events = [];
    for (const n of numbers) events.push(await world.collecting.publish(n));
    return events;
  };
  const transformed = async (code: string, batch: object, rest: object = {}) => {
    const endpoint = await world.collecting.endpoint(batch, rest);
    await world.system.ok('PUT', `${world.account.path}/endpoints/${endpoint.id}/transformation`, {
      kind: 'javascript',
      code,
    });
    return endpoint;
  };

  describe.each(['durable', 'express'])('answers 207 in the lane %s', (lane) => {
    it('send again only what failed, under another id, and end each event as it was answered for', async () => {
      world.receiver.answers(
        answersEach((n, count) => (n === 1 ? 200 : n === 2 ? 422 : n === 3 || count > 1 ? 503 : undefined)),
      );
      await world.collecting.endpoint({ maxEvents: 4 }, { lane, retrySchedule: [0.05, 3_600] });
      const [delivered, failed, busy, left] = await publishAll(1, 2, 3, 4);
      const received = await world.receiver.got(2);
      expect(received.map(numbersIn)).toEqual([
        [1, 2, 3, 4],
        [3, 4],
      ]);
      const ids = received.map(({ headers }) => headers['webhook-id']);
      expect(new Set(ids).size).toBe(2);
      if (!delivered || !failed || !busy || !left) throw new Error('nothing was published');
      await world.collecting.item(delivered, 'delivered');
      expect(await world.collecting.item(failed, 'failed')).toMatchObject({ statusReason: 'permanent' });
      const batch = await world.collecting.batchOf(busy, ({ attempts }) => attempts.length === 2);
      expect(batch).toMatchObject({ status: 'retrying', statusReason: 'batch_partial' });
      expect(batch.attempts[0]).toMatchObject({
        statusCode: 207,
        outcome: 'transient',
        errorCode: 'batch_partial',
        errorDetail: '2 of 4 events are to be sent again.',
      });
      world.receiver.answers(answersEach(() => 204));
      // Nothing of the second was taken: it is the same message still.
      const last = await world.receiver.next(() => world.collecting.act(batch, 'retry'));
      expect([numbersIn(last), last.headers['webhook-id']]).toEqual([[3, 4], ids[1]]);
      for (const event of [busy, left]) await world.collecting.item(event, 'delivered');
      // The events are written before their batch is.
      await world.collecting.batchOf(busy, ({ status }) => status === 'delivered');
      await world.collecting.item(failed, 'failed');
    });
  });

  it('sends again by hand what was refused, and only that, as another message', async () => {
    world.receiver.answers(answersEach((n) => (n === 1 ? 200 : 400)));
    await world.collecting.endpoint({ maxEvents: 2 });
    const [taken, refused] = await publishAll(1, 2);
    if (!taken || !refused) throw new Error('nothing was published');
    const batch = await world.collecting.batchOf(refused, ({ status }) => status === 'delivered');
    await world.collecting.item(refused, 'failed');
    world.receiver.answers((response) => response.end());
    const again = await world.receiver.next(() => world.collecting.act(batch, 'retry'));
    expect(numbersIn(again)).toEqual([2]);
    expect(again.headers['webhook-id']).not.toBe(world.receiver.received[0]?.headers['webhook-id']);
    await world.collecting.item(refused, 'delivered');
  });

  it('gives up what is not taken until the schedule ends, and nothing else', async () => {
    world.receiver.answers(answersEach((n) => (n === 1 ? 200 : 500)));
    await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [0.05] });
    const [taken, never] = await publishAll(1, 2);
    if (!taken || !never) throw new Error('nothing was published');
    expect(await world.collecting.item(never, 'failed')).toMatchObject({ statusReason: 'exhausted' });
    await world.collecting.item(taken, 'delivered');
  });

  it.each(['ok', '{"results":[{"id":1}]}', `{"results":[],"padding":"${'x'.repeat(300_000)}"}`])(
    'sends all of it again under the same id when the body of a 207 cannot be read',
    async (body) => {
      world.receiver.answers((response, _received, count) =>
        response.writeHead(count === 1 ? 207 : 200).end(body),
      );
      await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [0.05] });
      const [event] = await publishAll(1, 2);
      const received = await world.receiver.got(2);
      expect(received.map(numbersIn)).toEqual([
        [1, 2],
        [1, 2],
      ]);
      expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
      const batch = await world.collecting.batchOf(
        event ?? { id: '' },
        ({ status }) => status === 'delivered',
      );
      expect(batch.attempts[0]).toMatchObject({ statusCode: 207, errorCode: 'batch_results_unreadable' });
    },
  );

  it('reads the results of a thousand events, and keeps as much of them as of any answer', async () => {
    world.receiver.answers(answersEach((n, count) => (n === 999 && count === 1 ? 503 : 200)));
    await world.collecting.endpoint({ maxEvents: 1_000 }, { retrySchedule: [0.05] });
    const events = await world.collecting.publishMany(1_000);
    const received = await world.receiver.got(2);
    expect(received.map(numbersIn).map(({ length }) => length)).toEqual([1_000, 1]);
    const batch = await world.collecting.batchOf(
      events[0] ?? { id: '' },
      ({ status }) => status === 'delivered',
    );
    expect(batch.attempts[0]?.response?.truncated).toBe(true);
    expect(batch.attempts[0]?.response?.body.length).toBeLessThanOrEqual(16 * 1024);
  });

  it('takes what a 207 says of one that was sent alone', async () => {
    world.receiver.answers(answersEach((_n, count) => (count === 1 ? 503 : 200)));
    const endpoint = await world.collecting.endpoint({ maxEvents: 10 }, { retrySchedule: [0.05] });
    await world.system.ok('POST', `${world.account.path}/endpoints/${endpoint.id}/test`, {
      type: 'counted.event',
      data: { n: 1 },
    });
    const received = await world.receiver.got(2);
    expect(received.map(numbersIn)).toEqual([[1], [1]]);
  });

  it('takes 207 for delivered where no array was sent', async () => {
    world.receiver.answers((response) => response.writeHead(207).end('whatever'));
    await world.account.endpoint({ url: world.receiver.url });
    await world.collecting.item(await world.collecting.publish(1), 'delivered');
  });

  it('shapes each event by the transformation, leaves out what it drops, and sends alone what it fails on', async () => {
    const code = `function transform(event) {
      if (event.data.n === 2) return null;
      if (event.data.n === 3) throw new Error('not this one');
      return { body: { shaped: event.data.n }, headers: { 'x-shaped': 'yes' }, path: '/elsewhere' };
    }`;
    await transformed(code, { maxEvents: 4 }, { retrySchedule: [3_600] });
    const [one, dropped, failing, four] = await publishAll(1, 2, 3, 4);
    if (!one || !dropped || !failing || !four) throw new Error('nothing was published');
    for (const event of [one, four]) await world.collecting.item(event, 'delivered');
    expect(world.receiver.received.map(({ body }) => body)).toEqual(['[{"shaped":1},{"shaped":4}]']);
    expect(world.receiver.received[0]).toMatchObject({ path: '/hook' });
    expect(world.receiver.received[0]?.headers['x-shaped']).toBeUndefined();
    expect(await world.collecting.item(dropped, 'skipped')).toMatchObject({
      statusReason: 'transform_dropped',
    });
    expect(await world.collecting.item(failing, 'retrying')).toMatchObject({
      statusReason: 'transform_error',
      batchId: null,
    });
  });

  it('ends a batch of which nothing is left to be sent', async () => {
    await transformed('const transform = () => null', { maxEvents: 2 });
    const [event] = await publishAll(1, 2);
    expect(await world.collecting.item(event ?? { id: '' }, 'skipped')).toMatchObject({
      statusReason: 'transform_dropped',
    });
    expect(
      await world.collecting.batchOf(event ?? { id: '' }, ({ status }) => status === 'skipped'),
    ).toMatchObject({
      statusReason: 'batch_empty',
      attempts: [],
    });
  });

  it.each(['cloudevents-structured', 'cloudevents-batch'])(
    'sends a batch of CloudEvents as %s, which their package reads',
    async (format) => {
      await world.collecting.endpoint({ maxEvents: 2 }, { format });
      const events = await publishAll(1, 2);
      const [received] = await world.receiver.got(1);
      if (!received) throw new Error('nothing was received');
      expect(received.headers['content-type']).toBe('application/cloudevents-batch+json');
      const read = HTTP.toEvent({ headers: received.headers, body: received.body }) as CloudEvent[];
      expect(read.map(({ id, type, data }) => [id, type, data])).toEqual(
        events.map(({ id }, index) => [id, 'counted.event', { n: index + 1 }]),
      );
      for (const event of read) expect(event.validate()).toBe(true);
    },
  );

  it('sends an array of one at once to an endpoint that wants batches of CloudEvents and collects nothing', async () => {
    await world.account.endpoint({ url: world.receiver.url, format: 'cloudevents-batch' });
    const { body, headers } = await world.receiver.next(() => world.collecting.publish(1));
    const read = HTTP.toEvent({ headers, body }) as CloudEvent[];
    expect([read.length, read[0]?.id]).toEqual([1, headers['webhook-id']]);
  });

  it('carries links in place of the data of thin events', async () => {
    await world.collecting.endpoint({ maxEvents: 2 }, { payload: 'thin' });
    const events = await publishAll(1, 2);
    const [received] = await world.receiver.got(1);
    expect(JSON.parse(received?.body ?? '')).toEqual(
      events.map(
        ({ id }) => expect.objectContaining({ id, url: `/v1${world.account.path}/events/${id}` }) as object,
      ),
    );
  });

  it('is previewed as an array', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 2 });
    const { request } = await world.system.ok<{ request: { body: string } }>(
      'POST',
      `${world.account.path}/endpoints/${endpoint.id}/preview`,
      { event: { type: 'counted.event', data: { n: 1 } } },
    );
    expect(JSON.parse(request.body)).toEqual([expect.objectContaining({ data: { n: 1 } })]);
  });

  it('is refused where headers would have to tell of several events', async () => {
    const post = (body: object) =>
      world.system.call('POST', `${world.account.path}/endpoints`, { url: world.receiver.url, ...body });
    const refused = await post({ batch: {}, format: 'cloudevents-binary' });
    expect([refused.status, refused.body.errors]).toEqual([
      422,
      [expect.objectContaining({ pointer: '/format' })],
    ]);
    const endpoint = await world.collecting.endpoint({});
    const path = `${world.account.path}/endpoints/${endpoint.id}`;
    expect((await world.system.call('PATCH', path, { format: 'cloudevents-binary' })).status).toBe(422);
    await world.collecting.change(endpoint, { format: 'cloudevents-binary', batch: null });
    expect((await world.system.call('PATCH', path, { batch: {} })).status).toBe(422);
  });

  it('has limits, which a plan may lower', async () => {
    const endpoint = await world.account.endpoint({ url: world.receiver.url, batch: {} });
    expect(endpoint.batch).toEqual({ maxEvents: 100, maxWaitSeconds: 300, maxBytes: 1_048_576 });
    const post = (batch: object, of = world.account) =>
      world.system.call('POST', `${of.path}/endpoints`, { url: world.receiver.url, batch });
    for (const [batch, pointer] of [
      [{ maxEvents: 1_001 }, '/batch/maxEvents'],
      [{ maxWaitSeconds: 3_601 }, '/batch/maxWaitSeconds'],
      [{ maxBytes: 1 }, '/batch/maxBytes'],
      [{ more: 1 }, '/batch/more'],
    ] as const) {
      const answer = await post(batch);
      expect([answer.status, answer.body.errors]).toEqual([422, [expect.objectContaining({ pointer })]]);
    }
    await world.system.ok('POST', '/plans', { name: 'small', limits: { batchSize: 50 } });
    const { id } = await world.system.ok<{ id: string }>('POST', '/accounts', {
      name: 'Small',
      plan: 'small',
    });
    const answer = await world.system.call('POST', `/accounts/${id}/endpoints`, {
      url: world.receiver.url,
      batch: { maxEvents: 51 },
    });
    expect([answer.status, answer.body.code, answer.body.errors]).toEqual([
      422,
      'plan_limit_exceeded',
      [expect.objectContaining({ pointer: '/batch/maxEvents' })],
    ]);
  });
});
