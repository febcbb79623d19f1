import { createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EgressShown } from '../../src/egress/egress.schema.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

const UNKNOWN = 'ep_01h455vb4pex5vsknk084sn02q';

describe('what receivers may know of those who send to them', () => {
  let system: System;
  let account: Account;
  let other: Account;

  const published = async (endpoint?: string) => {
    const query = endpoint === undefined ? '' : `?endpoint=${encodeURIComponent(endpoint)}`;
    const response = await fetch(`${system.url}/.well-known/posthorn.json${query}`);
    return {
      status: response.status,
      cacheControl: response.headers.get('cache-control'),
      body: (await response.json()) as EgressShown,
    };
  };
  const keyOf = async (owner: Account) => {
    const { secret } = await system.ok<{ secret: string }>('POST', `${owner.path}/keys`, {
      name: 'reader',
      scopes: ['endpoints:read'],
    });
    return { authorization: `Bearer ${secret}` };
  };
  const asked = (path: string, headers?: Record<string, string>) =>
    system.call<EgressShown & { code: string }>('GET', path, undefined, headers);
  const signed = (versions: string[]) =>
    account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true, signingVersions: versions });
  const rotate = (id: string, body: Record<string, unknown>) =>
    system.ok<{ publicKey: string | null }>('POST', `${account.path}/endpoints/${id}/secret/rotate`, body);

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_EGRESS_ADDRESSES: '198.51.100.0/28, 203.0.113.9 ,2001:DB8::/48' },
    });
    account = await system.account();
    other = await system.account('Other');
  });
  afterAll(() => system.stop());

  it('is the addresses, for anybody who asks, and no endpoint of anybody', async () => {
    await signed(['v1a']);
    const { status, cacheControl, body } = await published();
    expect(status).toBe(200);
    expect(cacheControl).toBe('public, max-age=300');
    expect(body).toEqual({
      addresses: ['198.51.100.0/28', '203.0.113.9/32', '2001:db8::/48'],
      publicKeys: [],
    });
    expect((await asked('/egress', await keyOf(account))).body).toEqual(body);
  });

  it('is the public keys of an endpoint that is named, each as long as it signs', async () => {
    const { id, publicKey: first } = await signed(['v1a', 'v1']);
    expect((await published(id)).body.publicKeys).toEqual([{ publicKey: first, expiresAt: null }]);

    const { publicKey: second } = await rotate(id, { signingVersions: ['v1a'], overlapSeconds: 3600 });
    const { publicKeys } = (await published(id)).body;
    expect(publicKeys.map(({ publicKey }) => publicKey)).toEqual([second, first]);
    expect(publicKeys[0]?.expiresAt).toBeNull();
    expect(Date.parse(publicKeys[1]?.expiresAt ?? '')).toBeGreaterThan(Date.now() + 3_000_000);
    expect((await asked(`/egress?endpoint=${id}`, await keyOf(account))).body.publicKeys).toEqual(publicKeys);

    await rotate(id, { signingVersions: ['v1a'], overlapSeconds: 0 });
    const last = (await published(id)).body.publicKeys;
    expect(last).toHaveLength(1);
    expect([first, second]).not.toContain(last[0]?.publicKey);
  });

  it('verifies a delivery', async () => {
    const receiver = await Receiver.start();
    const { id } = await account.endpoint({ url: receiver.url, signingVersions: ['v1a'] });
    const { body, headers } = await receiver.next(() => account.publish());
    await receiver.stop();
    const [key] = (await published(id)).body.publicKeys;
    const der = Buffer.concat([
      Buffer.from('302a300506032b6570032100', 'hex'),
      Buffer.from(key?.publicKey.replace('whpk_', '') ?? '', 'base64'),
    ]);
    const text = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    const signature = Buffer.from(String(headers['webhook-signature']).replace('v1a,', ''), 'base64');
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' });
    expect(verify(null, Buffer.from(text), publicKey, signature)).toBe(true);
  });

  it('is never a secret: an endpoint that has no public key looks like one that does not exist', async () => {
    const endpoint = await signed(['v1']);
    const deleted = await signed(['v1a']);
    await system.ok('DELETE', `${account.path}/endpoints/${deleted.id}`);
    const nothing = (await published()).body;
    for (const id of [endpoint.id, deleted.id, UNKNOWN, 'ep_1', account.id, '', "'", '%00'])
      expect(await published(id)).toMatchObject({ status: 200, body: nothing });
    expect(JSON.stringify(await published(endpoint.id))).not.toContain('whsec_');
  });

  it('is told with a key of endpoints of the own account alone, with an operator’s of all', async () => {
    const { id, publicKey } = await signed(['v1a']);
    for (const endpoint of [id, UNKNOWN, 'ep_1', '']) {
      const refused = await asked(`/egress?endpoint=${endpoint}`, await keyOf(other));
      expect([endpoint, refused.status, refused.body.code]).toEqual([endpoint, 404, 'not_found']);
    }
    expect((await asked(`/egress?endpoint=${id}`)).body.publicKeys).toMatchObject([{ publicKey }]);
    const audited = await system.sql(
      `SELECT 1 FROM audit_log WHERE resource_id = $1 AND action = 'secret.read'`,
      [id],
    );
    expect(audited).toEqual([]);
  });

  it('answers an unknown parameter with a problem that nobody keeps', async () => {
    const response = await fetch(`${system.url}/.well-known/posthorn.json?account=${account.id}`);
    expect(response.status).toBe(422);
    expect(response.headers.get('cache-control') ?? '').not.toContain('public');
  });
});
