import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readSettings } from '../../src/config/settings.js';
import { Metrics } from '../../src/metrics/metrics.js';
import type { Lookup } from '../../src/lookups/lookup.js';
import { LookupAnswers } from '../../src/lookups/lookup-answers.js';
import { LookupSeals } from '../../src/lookups/lookup-seals.js';
import { parseUrlTemplate } from '../../src/lookups/url-template.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { Transport } from '../../src/transport/transport.js';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { until } from '../support/until.js';
import { LOOPBACK } from '../transport/receivers.js';

describe('lookups that are asked', () => {
  let service: Receiver;
  let transport: Transport;
  let answers: LookupAnswers;
  let lookup: Lookup;

  beforeEach(async () => {
    service = await Receiver.start((response) => response.end('{"a":1}'));
    transport = new Transport({ allow: LOOPBACK });
    const settings = readSettings({ POSTHORN_ATTEMPT_CONCURRENCY: '32' });
    answers = new LookupAnswers(
      transport,
      new Metrics(),
      new LookupSeals(new KeyRing(KeyRing.generate())),
      settings,
    );
    lookup = {
      name: 'crm',
      version: '1',
      url: parseUrlTemplate('https://crm.example/'),
      sealedAuth: null,
      timeoutMs: 5_000,
      cacheTtlMs: 60_000,
      required: true,
    };
  });
  afterEach(async () => {
    await service.stop();
    await transport.destroy();
  });

  const url = (path: number | string) => new URL(`/${path}`, service.url).href;
  const kindsOf = async (asked: Promise<{ kind: string }>[]) =>
    (await Promise.all(asked)).map(({ kind }) => kind);

  it('are asked once by all who want the same at once, and not again while the answer is good', async () => {
    const asked = Array.from({ length: 4 }, () => answers.get(lookup, 'account', url('same')));
    expect(new Set((await Promise.all(asked)).map((answer) => JSON.stringify(answer)))).toEqual(
      new Set(['{"kind":"found","json":"{\\"a\\":1}"}']),
    );
    expect(await answers.get(lookup, 'account', url('same'))).toMatchObject({ kind: 'found' });
    expect(service.received).toHaveLength(1);
    expect(service.received[0]?.headers).toMatchObject({ accept: 'application/json' });
  });

  it('are asked anew by another version, for another URL, and where nothing is kept', async () => {
    await answers.get(lookup, 'account', url(1));
    await answers.get(lookup, 'account', url(2));
    await answers.get({ ...lookup, version: '2' }, 'account', url(1));
    expect(service.received).toHaveLength(3);
    const unkept = { ...lookup, version: '3', cacheTtlMs: 0 };
    await answers.get(unkept, 'account', url(1));
    await answers.get(unkept, 'account', url(1));
    expect(service.received).toHaveLength(5);
  });

  it('get no more than 64 requests at once', async () => {
    const gate = new Gate();
    service.answers((response, ...rest) => {
      response.write('{}');
      gate.answer(response, ...rest);
    });
    const asked = Array.from({ length: 100 }, (_, each) => answers.get(lookup, 'account', url(each)));
    await until(
      () => gate.held,
      (held) => held === 64,
    );
    gate.letOneGo();
    await service.got(65);
    expect(gate.most).toBe(64);
    gate.open();
    await service.got(100);
    await Promise.all(asked);
  });

  it('that are slow leave attempts to others: who finds no place to wait comes back', async () => {
    const gate = new Gate();
    service.answers((response, ...rest) => {
      response.write('{}');
      gate.answer(response, ...rest);
    });
    const done: string[] = [];
    const ask = (of: Lookup, count: number) =>
      Array.from({ length: count }, (_, each) =>
        answers.get(of, 'account', url(`${of.name}-${each}`)).then((answer) => {
          done.push(`${of.name} ${answer.kind}`);
          return answer;
        }),
      );
    const [one, two] = [ask(lookup, 20), ask({ ...lookup, name: 'erp' }, 20)];
    // A quarter of 32 attempts may wait, half of them for one lookup.
    await until(
      () => done.length,
      (length) => length === 32,
    );
    expect(done.filter((each) => each === 'crm busy')).toHaveLength(16);
    expect(done.filter((each) => each === 'erp busy')).toHaveLength(16);
    gate.open();
    expect((await kindsOf([...one, ...two])).filter((kind) => kind === 'found')).toHaveLength(8);
    // What was asked for those who left is there when they come back.
    await until(
      () => gate.held,
      (held) => held === 0,
    );
    service.answers((response) => response.writeHead(500).end());
    expect(await kindsOf(ask(lookup, 20))).toEqual(Array.from({ length: 20 }, () => 'found'));
  });

  it('fail for all who wait where they fail, and are asked again only later', async () => {
    service.answers((response) => response.writeHead(503).end());
    const failed = { kind: 'failed', detail: 'the answer is 503' };
    expect(
      await Promise.all([answers.get(lookup, 'account', url(1)), answers.get(lookup, 'account', url(1))]),
    ).toEqual([failed, failed]);
    expect(await answers.get(lookup, 'account', url(1))).toEqual(failed);
    expect(service.received).toHaveLength(1);
    service.answers((response) => response.end('2'));
    expect(
      await until(
        () => answers.get(lookup, 'account', url(1)),
        ({ kind }) => kind === 'found',
      ),
    ).toEqual({ kind: 'found', json: '2' });
  });

  it('may be answered with 64 KiB, and no more', async () => {
    const json = (length: number) => JSON.stringify('a'.repeat(length - 2));
    service.answers((response) => response.end(json(64 * 1024)));
    expect(await answers.get(lookup, 'account', url('most'))).toEqual({
      kind: 'found',
      json: json(64 * 1024),
    });
    service.answers((response) => response.end(json(64 * 1024 + 1)));
    expect(await answers.get(lookup, 'account', url('more'))).toMatchObject({ kind: 'failed' });
  });
});
