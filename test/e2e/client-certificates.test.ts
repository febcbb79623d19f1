import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { Authority, describeWithOpenssl, type Pair } from '../support/authority.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

type Answered = EndpointShown & { code: string; errors: { pointer: string; detail: string }[] };

describeWithOpenssl('deliveries with a client certificate', () => {
  const authority = Authority.make();
  const serverPair = authority.issue('IP:127.0.0.1');
  const client = (name: string, until = '20991231000000Z') =>
    authority.issue(`DNS:${name}`, { subject: `/CN=${name}`, until });
  const [seven, eight] = [client('seven'), client('eight')];
  let system: System;
  let account: Account;
  let server: Server;
  let url: string;
  /** Who came with which event, on which connection. */
  let seen: { name: string; path: string; connection: TLSSocket }[];

  const mtls = ({ cert, key }: Pair) => ({ type: 'mtls', certificate: cert, privateKey: key });
  const create = (body: Record<string, unknown>) =>
    system.call<Answered>('POST', `${account.path}/endpoints`, { url, tls: { ca: authority.ca }, ...body });
  const patch = ({ id }: { id: string }, body: Record<string, unknown>) =>
    system.call<Answered>('PATCH', `${account.path}/endpoints/${id}`, body);
  const outcomeOf = async (event: { id: string }) => {
    const { id } = await account.deliveryOf(event, ({ attemptCount }) => attemptCount > 0);
    return (await account.delivery(id)).attempts[0];
  };

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(async () => {
    await system.stop();
    authority.remove();
  });
  beforeEach(async () => {
    account = await system.account();
    seen = [];
    server = createServer(
      { ...serverPair, ca: authority.ca, requestCert: true, rejectUnauthorized: true },
      (request, response) => {
        const connection = request.socket as TLSSocket;
        seen.push({
          name: String(connection.getPeerCertificate().subject.CN),
          path: request.url ?? '',
          connection,
        });
        request.resume().on('end', () => response.end());
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  it.each(['durable', 'express'])('show it, in the lane %s', async (lane) => {
    const { status, body, text } = await create({ auth: mtls(seven), lane });
    expect(status).toBe(201);
    const event = await account.publish();
    await account.deliveryOf(event, (delivery) => delivery.status === 'delivered');
    expect(seen.map(({ name }) => name)).toEqual(['seven']);

    const [, key = ''] = seven.key.split('\n');
    expect(text).not.toContain(key);
    expect(body).toMatchObject({
      auth: { type: 'mtls', certificate: `${seven.cert.trim()}\n`, privateKey: '***' },
      tls: { ca: authority.ca },
      certificates: [
        {
          use: 'client',
          subject: 'CN=seven',
          issuer: 'CN=Test authority',
          fingerprint256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
          expiresAt: '2099-12-31T00:00:00.000Z',
        },
        { use: 'authority', subject: 'CN=Test authority' },
      ],
    });
    expect(body.certificateExpiresAt).toBe(body.certificates[1]?.expiresAt);
    const [row] = await system.sql<{ sealed: Buffer; at: Date }>(
      'SELECT sealed_auth AS sealed, certificate_expires_at AS at FROM endpoints WHERE url = $1',
      [url],
    );
    expect(row?.at.toISOString()).toBe(body.certificateExpiresAt);
    for (const plain of [key, 'PRIVATE KEY', 'mtls']) expect(row?.sealed.includes(plain)).toBe(false);
  });

  it('show the new one from the next attempt after it is changed', async () => {
    const { body: endpoint } = await create({ auth: mtls(seven) });
    await account.deliveryOf(await account.publish(), ({ status }) => status === 'delivered');
    expect((await patch(endpoint, { auth: mtls(eight) })).body.certificates[0]).toMatchObject({
      subject: 'CN=eight',
    });
    await account.deliveryOf(await account.publish(), ({ status }) => status === 'delivered');
    expect(seen.map(({ name }) => name)).toEqual(['seven', 'eight']);

    const kept = await patch(endpoint, { auth: { ...endpoint.auth, certificate: eight.cert } });
    expect(kept.status).toBe(200);
    await account.deliveryOf(await account.publish(), ({ status }) => status === 'delivered');
    expect(seen.at(-1)?.name).toBe('eight');
  });

  it('of two endpoints at one host never share a connection', async () => {
    const paths = ['seven', 'eight'];
    for (const [index, pair] of [seven, eight].entries()) {
      await create({ auth: mtls(pair), url: `${url}/${paths[index] ?? ''}` });
    }
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(Array.from({ length: 3 }, () => account.publish()));
      await until(
        () => seen.length,
        (count) => count === (round + 1) * 6,
      );
    }
    for (const { name, path } of seen) expect(path).toBe(`/hook/${name}`);
    const users = new Map<TLSSocket, Set<string>>();
    for (const { connection, path } of seen)
      users.set(connection, (users.get(connection) ?? new Set<string>()).add(path));
    expect([...users.values()].every(({ size }) => size === 1)).toBe(true);
    // Or it would say nothing.
    expect(users.size).toBeLessThan(seen.length);
  });

  it('fail where the receiver wants one and gets none, and where it is trusted by nobody', async () => {
    const { body: endpoint } = await create({ retrySchedule: [] });
    expect(await outcomeOf(await account.publish())).toMatchObject({
      errorCode: expect.stringMatching(/^(tls_client_certificate_refused|connection_(closed|reset))$/),
      outcome: 'transient',
    });
    await patch(endpoint, { auth: mtls(seven), tls: null });
    expect(await outcomeOf(await account.publish())).toMatchObject({ errorCode: 'tls_untrusted' });
    expect(seen).toEqual([]);
  });

  it('are refused at once where the certificate is of no use', async () => {
    const pointerOf = async (body: Record<string, unknown>) => (await create(body)).body.errors[0]?.pointer;
    expect(await pointerOf({ auth: mtls({ ...seven, key: eight.key }) })).toBe('/auth/privateKey');
    expect(await pointerOf({ auth: mtls(client('late', '20200201000000Z')) })).toBe('/auth/certificate');
    expect(await pointerOf({ tls: { ca: seven.cert } })).toBe('/tls/ca');
    expect(await pointerOf({ auth: mtls(seven), url: 'http://127.0.0.1:4433/' })).toBe('/auth/type');
    const { body: endpoint } = await create({ auth: mtls(seven), paused: true });
    const changed = await patch(endpoint, { auth: { ...mtls(eight), privateKey: '***' } });
    expect(changed.body.errors[0]?.pointer).toBe('/auth/privateKey');
    expect((await patch(endpoint, { url: 'http://127.0.0.1:4433/' })).body.errors[0]?.pointer).toBe('/url');
    const removed = await patch(endpoint, { auth: { type: 'none' }, tls: null });
    expect(removed.body).toMatchObject({ certificates: [], certificateExpiresAt: null, tls: null });
  });

  it('have their owner told when one ends soon', async () => {
    const soon = new Date(Date.now() + 20 * 86_400_000).toISOString();
    const until20Days = `${soon.replace(/[-:T]/g, '').slice(0, 14)}Z`;
    const { body } = await create({ auth: mtls(client('soon', until20Days)), tls: null });
    const [told] = await until(
      async () =>
        (await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`)).data,
      (notifications) => notifications.length > 0,
    );
    expect(told).toMatchObject({
      kind: 'endpoint.certificate_expiring',
      endpointId: body.id,
      data: {
        endpointOrigin: new URL(url).origin,
        certificateExpiresAt: body.certificateExpiresAt,
        days: 30,
      },
    });
    // The new one is warned of anew, when its own time comes.
    await patch(body, { auth: mtls(client('later')) });
    expect((await system.ok<{ data: unknown[] }>('GET', `${account.path}/notifications`)).data).toHaveLength(
      1,
    );
  });
});
