import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PortalToken, PortalTokenMade } from '../../src/portal-tokens/portal-tokens.schema.js';
import { callOperation, oneOfEach, operationsOf, pathOf, readDocument } from '../support/api-walk.js';
import { Issuer } from '../support/issuer.js';
import { PosthornProcess } from '../support/process.js';
import { System } from '../support/system.js';

describe('the log', () => {
  let system: System;
  let issuer: Issuer;
  let posthorn: PosthornProcess;

  beforeAll(async () => {
    issuer = await Issuer.start();
    system = await System.start();
    posthorn = await PosthornProcess.beside(system, {
      POSTHORN_ROLES: 'api',
      POSTHORN_LOG_LEVEL: 'trace',
      POSTHORN_OIDC_ISSUER: issuer.url,
      POSTHORN_OIDC_AUDIENCE: 'posthorn',
    });
    await issuer.stop();
  });
  afterAll(async () => {
    await posthorn.end('SIGTERM');
    await system.stop();
  });

  it('never holds a credential, wherever it was sent and whatever came of it', async () => {
    const { ids, key } = await oneOfEach(system);
    const made = await system.ok<PortalTokenMade>('POST', `/accounts/${ids.account}/portal-tokens`, {});
    const { token } = await system.ok<PortalToken>('POST', '/portal/exchange', { code: made.code });
    const { code } = await system.ok<PortalTokenMade>('POST', `/accounts/${ids.account}/portal-tokens`, {});
    const jwt = await issuer.sign({ aud: 'posthorn', sub: 'ann' });
    const credentials = [system.rootKey, key, token, code, jwt];
    const query = `access_token=${system.rootKey}&key=${key}&token=${token}&code=${code}&id_token=${jwt}`;

    const statuses = new Set<number>();
    for (const operation of operationsOf(await readDocument(system))) {
      if (operation.method === 'DELETE') continue;
      for (const authorization of [
        '',
        `Basic ${key}`,
        `Bearer ${jwt}`,
        `Bearer ${token}`,
        `Bearer ${key}x`,
      ]) {
        const path = `${pathOf(operation.template, ids)}?${query}`;
        const headers = authorization === '' ? {} : { authorization };
        statuses.add((await callOperation({ url: posthorn.url }, operation, path, headers)).status);
      }
    }
    for (const path of [`/v1/nowhere?${query}`, `/v1/${key}`, `/v1/accounts/${token}`, `/docs?${query}`])
      statuses.add((await fetch(`${posthorn.url}${path}`)).status);
    expect([...statuses].sort()).toEqual(expect.arrayContaining([200, 401, 403, 404, 503]));

    const { printed } = posthorn;
    expect(printed).toContain('identity_provider_unavailable');
    const shown = credentials.filter((each) => printed.includes(each.slice(-24)));
    expect(shown).toEqual([]);
    expect(printed).not.toMatch(/access_token|id_token/);
  });
});
