import { createPublicKey, verify } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { fromId } from '../../src/common/ids.js';
import type { SecretShown } from '../../src/endpoints/endpoints.schema.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const WHSK = 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==';
const WHPK = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=';

describe('signing secrets', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  const secretPath = ({ id }: { id: string }) => `${account.path}/endpoints/${id}/secret`;
  const read = (endpoint: { id: string }) => system.call<SecretShown>('GET', secretPath(endpoint));
  const rotate = (endpoint: { id: string }, body?: Record<string, unknown>) =>
    system.call<SecretShown>('POST', `${secretPath(endpoint)}/rotate`, body);
  const auditOf = (endpoint: { id: string }) =>
    system.sql<{ action: string; key_id: string; request_id: string }>(
      "SELECT action, key_id, request_id FROM audit_log WHERE resource_id = $1 AND action LIKE 'secret.%' ORDER BY id",
      [endpoint.id],
    );
  /** What the next event is received as. */
  const next = () => receiver.next(() => account.publish());

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  it('are read with a scope of their own, uncached, and every read is audited', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const answer = await read(endpoint);
    expect(answer.body).toEqual({
      secret: endpoint.signingSecret,
      publicKey: null,
      secrets: [{ secret: endpoint.signingSecret, publicKey: null }],
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');

    const { id, secret } = await system.ok<{ id: string; secret: string }>('POST', `${account.path}/keys`, {
      name: 'reader',
      scopes: ['secrets:read'],
    });
    const again = await system.call('GET', secretPath(endpoint), undefined, {
      authorization: `Bearer ${secret}`,
    });
    expect(again.status).toBe(200);
    const weak = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, {
      name: 'weak',
      scopes: ['endpoints:read', 'endpoints:write', 'secrets:write'],
    });
    const refused = await system.call('GET', secretPath(endpoint), undefined, {
      authorization: `Bearer ${weak.secret}`,
    });
    expect(refused.status).toBe(403);

    expect(await auditOf(endpoint)).toEqual([
      { action: 'secret.read', key_id: 'root', request_id: answer.headers.get('x-request-id') },
      { action: 'secret.read', key_id: id, request_id: again.headers.get('x-request-id') },
    ]);
  });

  it('are rotated with an overlap in which both sign, each so that its holder can verify', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const answer = await rotate(endpoint);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const fresh = answer.body.secret;
    expect(fresh).toMatch(/^whsec_/);
    expect(fresh).not.toBe(endpoint.signingSecret);
    expect((await read(endpoint)).body.secret).toBe(fresh);

    const { body, headers } = await next();
    expect(String(headers['webhook-signature']).split(' ')).toHaveLength(2);
    for (const secret of [endpoint.signingSecret, fresh]) {
      expect(() => new Webhook(secret).verify(body, headers as Record<string, string>)).not.toThrow();
    }
    expect((await auditOf(endpoint)).map(({ action }) => action)).toEqual(['secret.rotate', 'secret.read']);
  });

  it('stop signing at once when they are rotated without an overlap, those of earlier rotations too', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const second = (await rotate(endpoint, { overlapSeconds: 600 })).body.secret;
    const third = (await rotate(endpoint, { overlapSeconds: 0 })).body.secret;
    const { body, headers } = await next();
    expect(String(headers['webhook-signature']).split(' ')).toHaveLength(1);
    const verified = [endpoint.signingSecret, second, third].map((secret) => {
      try {
        new Webhook(secret).verify(body, headers as Record<string, string>);
        return true;
      } catch {
        return false;
      }
    });
    expect(verified).toEqual([false, false, true]);
  });

  it('stop signing when their overlap is over', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const rotatedAt = Date.now();
    await rotate(endpoint, { overlapSeconds: 1 });
    const signatures: number[] = [];
    do {
      signatures.push(String((await next()).headers['webhook-signature']).split(' ').length);
    } while (signatures.at(-1) === 2 && Date.now() - rotatedAt < 20_000);
    expect(signatures.at(-1)).toBe(1);
    expect(Date.now() - rotatedAt).toBeGreaterThan(900);
    // Its timer removes it then: what cannot sign any more is not kept.
    await until(
      () =>
        system.sql('SELECT 1 FROM endpoint_secrets WHERE endpoint_id = $1', [
          fromId('endpoint', endpoint.id),
        ]),
      (secrets) => secrets.length === 1,
    );
  });

  it('that sign at the same time are ten at most, and a shorter overlap makes room', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    for (let count = 2; count <= 10; count += 1) expect((await rotate(endpoint)).status).toBe(200);
    const current = (await read(endpoint)).body.secret;
    const refused = await rotate(endpoint);
    expect([refused.status, (refused.body as unknown as { code: string }).code]).toEqual([
      422,
      'validation_failed',
    ]);
    expect((await read(endpoint)).body.secret).toBe(current);
    expect((await rotate(endpoint, { overlapSeconds: 0 })).status).toBe(200);
    expect(String((await next()).headers['webhook-signature']).split(' ')).toHaveLength(1);
  });

  it('may be their owner’s: whsec_ for HMAC', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signingSecret: WHSEC });
    expect(endpoint).toMatchObject({ signingSecret: WHSEC, publicKey: null });
    const { body, headers } = await next();
    expect(() => new Webhook(WHSEC).verify(body, headers as Record<string, string>)).not.toThrow();
  });

  it('may be their owner’s: whsk_ for ed25519, with the public key to hand on', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signingSecret: WHSK });
    expect(endpoint).toMatchObject({ signingSecret: WHSK, publicKey: WHPK });
    expect((await read(endpoint)).body).toEqual({
      secret: WHSK,
      publicKey: WHPK,
      secrets: [{ secret: WHSK, publicKey: WHPK }],
    });
    const { body, headers } = await next();
    expect(verifiesV1a(WHPK, body, headers as Record<string, string>)).toBe(true);

    const rotated = (await rotate(endpoint, { overlapSeconds: 0 })).body;
    expect(rotated.secret).toMatch(/^whsk_/);
    const later = await next();
    expect(verifiesV1a(rotated.publicKey ?? '', later.body, later.headers as Record<string, string>)).toBe(
      true,
    );
    expect(verifiesV1a(WHPK, later.body, later.headers as Record<string, string>)).toBe(false);
  });

  it('may be rotated to another kind, both signing meanwhile', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signingSecret: WHSEC });
    expect((await rotate(endpoint, { secret: WHSK })).body).toEqual({
      secret: WHSK,
      publicKey: WHPK,
      secrets: [{ secret: WHSK, publicKey: WHPK }],
    });
    const { body, headers } = await next();
    expect(() => new Webhook(WHSEC).verify(body, headers as Record<string, string>)).not.toThrow();
    expect(verifiesV1a(WHPK, body, headers as Record<string, string>)).toBe(true);
  });

  it('may be one of each version, which both sign and are rotated together or singly', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signingVersions: ['v1', 'v1a'] });
    const verified = async (...asked: SecretShown['secrets']) => {
      const { body, headers } = await next();
      expect(String(headers['webhook-signature']).split(' ')).toHaveLength(asked.length);
      for (const { secret, publicKey } of asked) {
        if (publicKey === null) new Webhook(secret).verify(body, headers as Record<string, string>);
        else expect(verifiesV1a(publicKey, body, headers as Record<string, string>)).toBe(true);
      }
    };
    expect(endpoint.secrets.map(({ secret }) => secret.split('_')[0])).toEqual(['whsec', 'whsk']);
    expect(endpoint.secrets[0]).toEqual({ secret: endpoint.signingSecret, publicKey: endpoint.publicKey });
    await verified(...endpoint.secrets);

    const rotated = (await rotate(endpoint)).body;
    expect(rotated.secrets.map(({ secret }) => secret.split('_')[0])).toEqual(['whsec', 'whsk']);
    expect((await read(endpoint)).body).toEqual(rotated);
    await verified(...endpoint.secrets, ...rotated.secrets);

    const alone = (await rotate(endpoint, { signingVersions: ['v1a'], overlapSeconds: 0 })).body;
    expect(alone.secrets).toHaveLength(1);
    await verified(...alone.secrets);
  });

  it.each([
    [{ secret: 'whsec_abc' }, '/secret', 'signing_secret_invalid'],
    [{ secret: 7 }, '/secret', 'validation_failed'],
    [{ overlapSeconds: -1 }, '/overlapSeconds', 'validation_failed'],
    [{ overlapSeconds: 7 * 24 * 3600 + 1 }, '/overlapSeconds', 'validation_failed'],
    [{ overlapSeconds: 1.5 }, '/overlapSeconds', 'validation_failed'],
    [{ overlap: 1 }, '/overlap', 'validation_failed'],
    [{ signingVersions: [] }, '/signingVersions', 'validation_failed'],
    [{ signingVersions: ['v1', 'v1'] }, '/signingVersions', 'validation_failed'],
    [{ signingVersions: ['v2'] }, '/signingVersions/0', 'validation_failed'],
    [{ signingVersions: ['v1'], secret: WHSEC }, '/signingVersions', 'validation_failed'],
  ])('are not rotated by %j', async (body, pointer, code) => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const answer = await system.call<{ code: string; errors: { pointer: string }[] }>(
      'POST',
      `${secretPath(endpoint)}/rotate`,
      body,
    );
    expect([answer.status, answer.body.code, answer.body.errors[0]?.pointer]).toEqual([422, code, pointer]);
    expect((await read(endpoint)).body.secret).toBe(endpoint.signingSecret);
  });
});

/** Standard Webhooks 1.0, `v1a`: the reference library verifies `v1` alone. */
function verifiesV1a(publicKey: string, body: string, headers: Record<string, string>): boolean {
  const raw = Buffer.from(publicKey.slice('whpk_'.length), 'base64');
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  return (headers['webhook-signature'] ?? '')
    .split(' ')
    .filter((signature) => signature.startsWith('v1a,'))
    .some((signature) => verify(null, content, key, Buffer.from(signature.slice(4), 'base64')));
}
