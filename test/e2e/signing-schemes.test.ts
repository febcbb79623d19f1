import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhooks } from '@octokit/webhooks';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';
import type { EndpointShown, SecretShown } from '../../src/endpoints/endpoints.schema.js';
import { type Received, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

/** As a provider has it who moves in: not of Standard Webhooks, since that is base64 after the prefix. */
const OWN = 'whsec_f3b1c0-of-our-old-system-77aa';

describe('signing schemes', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  const path = ({ id }: { id: string }) => `${account.path}/endpoints/${id}`;
  const patch = (endpoint: { id: string }, body: Record<string, unknown>) =>
    system.call<EndpointShown & { code: string; errors: { pointer: string }[] }>(
      'PATCH',
      path(endpoint),
      body,
    );
  const rotate = (endpoint: { id: string }, body: Record<string, unknown>) =>
    system.ok<SecretShown>('POST', `${path(endpoint)}/secret/rotate`, body);
  const next = () => receiver.next(() => account.publish());
  const stripe = new Stripe('sk_test_none');
  const isStripes = ({ body, headers }: Received, secret: string, header = 'stripe-signature') =>
    verifies(() => stripe.webhooks.constructEvent(body, String(headers[header]), secret));
  const isStandard = ({ body, headers }: Received, secret: string) =>
    verifies(() => new Webhook(secret).verify(body, headers as Record<string, string>));
  const isGitHubs = ({ body, headers }: Received, secret: string) =>
    new Webhooks({ secret }).verify(body, String(headers['x-hub-signature-256']));

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  it('sign as Stripe does, with the secret that its receivers have', async () => {
    const endpoint = await account.endpoint({
      url: receiver.url,
      signing: { scheme: 'stripe' },
      signingSecret: OWN,
    });
    expect(endpoint).toMatchObject({
      signing: { scheme: 'stripe', header: 'stripe-signature' },
      signingSecret: OWN,
    });
    const received = await next();
    expect(isStripes(received, OWN)).toBe(true);
    expect(received.headers).not.toHaveProperty('webhook-signature');
    expect(received.headers['webhook-id']).toBe((JSON.parse(received.body) as { id: string }).id);
  });

  it('sign in a header of their own name', async () => {
    const endpoint = await account.endpoint({
      url: receiver.url,
      headers: { 'X-Acme-Signature': 'not this' },
      signing: { scheme: 'stripe', header: 'X-Acme-Signature' },
    });
    expect(endpoint.signing).toEqual({ scheme: 'stripe', header: 'x-acme-signature' });
    const received = await next();
    expect(isStripes(received, endpoint.signingSecret, 'x-acme-signature')).toBe(true);
    expect(received.headers).not.toHaveProperty('stripe-signature');
  });

  it('sign as GitHub does: with the old secret for the overlap, and with the new one from then on', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signing: { scheme: 'github' } });
    expect(await isGitHubs(await next(), endpoint.signingSecret)).toBe(true);
    const rotated = await rotate(endpoint, { secret: OWN });
    expect(rotated.secret).toBe(OWN);
    expect(await isGitHubs(await next(), endpoint.signingSecret)).toBe(true);
    const last = await rotate(endpoint, { overlapSeconds: 0 });
    expect(await isGitHubs(await next(), last.secret)).toBe(true);
  });

  it('sign as Stripe does with old and new secret while one is rotated', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, signing: { scheme: 'stripe' } });
    const { secret } = await rotate(endpoint, {});
    const received = await next();
    expect([endpoint.signingSecret, secret].map((each) => isStripes(received, each))).toEqual([true, true]);
  });

  it('are changed for what is sent next, and back, with one secret for all', async () => {
    const { id, signingSecret } = await account.endpoint({ url: receiver.url });
    expect(isStandard(await next(), signingSecret)).toBe(true);
    expect((await patch({ id }, { signing: { scheme: 'stripe' } })).body.signing).toEqual({
      scheme: 'stripe',
      header: 'stripe-signature',
    });
    expect(isStripes(await next(), signingSecret)).toBe(true);
    expect((await patch({ id }, { signing: { scheme: 'standard' } })).status).toBe(200);
    expect(isStandard(await next(), signingSecret)).toBe(true);
  });

  it('are not changed to one that a live secret cannot sign by, also one of an earlier rotation', async () => {
    const endpoint = await account.endpoint({
      url: receiver.url,
      signing: { scheme: 'stripe' },
      signingSecret: OWN,
    });
    const { secret } = await rotate(endpoint, {});
    const refused = await patch(endpoint, { signing: { scheme: 'standard' } });
    expect([refused.status, refused.body.code, refused.body.errors[0]?.pointer]).toEqual([
      422,
      'signing_secret_invalid',
      '/signing/scheme',
    ]);
    expect(JSON.stringify(refused.body)).not.toContain(OWN);
    expect(isStripes(await next(), secret)).toBe(true);

    await rotate(endpoint, { overlapSeconds: 0 });
    expect((await patch(endpoint, { signing: { scheme: 'standard' } })).status).toBe(200);
  });

  it.each([
    [{ signing: { scheme: 'slack' } }, '/signing/scheme', 'validation_failed'],
    [{ signing: {} }, '/signing/scheme', 'validation_failed'],
    [{ signing: { scheme: 'standard', header: 'x' } }, '/signing/header', 'validation_failed'],
    [{ signing: { scheme: 'stripe', header: 'Content-Type' } }, '/signing/header', 'validation_failed'],
    [{ signing: { scheme: 'stripe', header: 'webhook-id' } }, '/signing/header', 'validation_failed'],
    [{ signing: { scheme: 'stripe', header: 'a b' } }, '/signing/header', 'validation_failed'],
    [{ signing: { scheme: 'github' }, signingSecret: 'short' }, '/signingSecret', 'signing_secret_invalid'],
    [
      { signing: { scheme: 'github' }, signingVersions: ['v1a'] },
      '/signingVersions',
      'signing_secret_invalid',
    ],
    [{ signingSecret: OWN }, '/signingSecret', 'signing_secret_invalid'],
    [{ signingSecret: OWN, signingVersions: ['v1'] }, '/signingVersions', 'validation_failed'],
  ])('are refused in %j', async (body, pointer, code) => {
    const answer = await system.call<{ code: string; errors: { pointer: string }[] }>(
      'POST',
      `${account.path}/endpoints`,
      { url: receiver.url, ...body },
    );
    expect([answer.status, answer.body.code, answer.body.errors[0]?.pointer]).toEqual([422, code, pointer]);
  });
});

function verifies(verify: () => unknown): boolean {
  try {
    verify();
    return true;
  } catch {
    return false;
  }
}
