import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { readSettings } from '../../src/config/settings.js';
import { Mailer, MailRefusedError } from '../../src/notifications/mailer.js';
import { NotificationsService } from '../../src/notifications/notifications.service.js';
import { Notifier } from '../../src/notifications/notifier.js';
import { Temporal, TemporalUnavailableError } from '../../src/temporal/temporal.js';
import { fromId, toId, uuidV7 } from '../../src/common/ids.js';
import { Mailbox } from '../support/mailbox.js';
import { Receiver } from '../support/receiver.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('notifications', () => {
  let system: System;
  let mailbox: Mailbox;
  let operator: Account;
  let account: Account;
  let address: string;
  let gone: Receiver;

  beforeAll(async () => {
    mailbox = await Mailbox.start();
    const operatorId = uuidV7(Date.now());
    const id = toId('account', operatorId);
    system = await System.start({ env: { POSTHORN_SMTP_URL: mailbox.url, POSTHORN_OPERATOR_ACCOUNT: id } });
    await system.sql(`INSERT INTO accounts (id, name) VALUES ($1, 'Operator')`, [operatorId]);
    operator = new Account(system, id);
  });
  afterAll(async () => {
    await system.stop();
    await mailbox.stop();
  });
  beforeEach(async () => {
    account = await system.account('Acme <&> Co');
    address = `${account.id}@customer.example`;
    await system.ok('PATCH', account.path, { notificationEmails: [address] });
    gone = await Receiver.answering(410);
    mailbox.reply = null;
    mailbox.welcome = null;
  });
  afterEach(() => gone.stop());

  const taken = () => mailbox.for(address).filter(({ isTaken }) => isTaken);
  /** An endpoint that says that it is gone, and is disabled for it. */
  const loseOne = async () => {
    const endpoint = await account.endpoint({ url: gone.url, eventTypes: ['lost'] });
    await account.publish({ type: 'lost' });
    return endpoint;
  };
  const settled = () =>
    until(
      () =>
        system.sql(
          `SELECT 1 FROM notifications n JOIN accounts a ON a.id = n.account_id
            WHERE n.pending AND $1 = ANY (a.notification_emails)`,
          [address],
        ),
      (pending) => pending.length === 0,
    );

  it('come as one e-mail in text and HTML to whom the account names', async () => {
    await system.ok('PATCH', account.path, {
      notificationEmails: [address, 'boss@customer.example'],
    });
    const endpoint = await loseOne();
    await mailbox.offered(address);
    const [mail] = taken();
    expect(mail?.to).toEqual([address, 'boss@customer.example']);
    expect(mail?.raw).toContain(`Subject: The endpoint was disabled: ${endpoint.id}`);
    expect(mail?.raw).toMatch(/^auto-submitted: auto-generated/im);
    expect(mail?.raw).toMatch(/^message-id: <ntf_\w+@localhost>/im);
    expect(mail?.raw).toContain('Content-Type: text/plain');
    expect(mail?.raw).toContain('Content-Type: text/html');
    expect(mail?.raw).toContain(`Receiver: ${new URL(gone.url).origin}`);
  });

  it('come as events to endpoints that name them, of the account and of the operator, and to no others', async () => {
    const [named, general, ofOperator] = await Promise.all([
      Receiver.start(),
      Receiver.start(),
      Receiver.start(),
    ]);
    try {
      await account.endpoint({ url: named.url, eventTypes: ['posthorn.*'] });
      await account.endpoint({ url: general.url });
      await operator.endpoint({ url: ofOperator.url, eventTypes: ['posthorn.endpoint.disabled'] });
      const endpoint = await loseOne();
      const [own, theirs] = await until(
        () => [named.received[0], ofOperator.received[0]],
        (received) => received.every((each) => each !== undefined),
      );
      const data = { accountId: account.id, endpointId: endpoint.id, reason: 'gone' };
      for (const received of [own, theirs]) {
        expect(JSON.parse(received?.body ?? '')).toMatchObject({ type: 'posthorn.endpoint.disabled', data });
      }
      expect(general.received.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual([
        'lost',
      ]);
    } finally {
      await Promise.all([named, general, ofOperator].map((receiver) => receiver.stop()));
    }
  });

  it('that come up together go into one message after the first', async () => {
    await loseOne();
    await mailbox.offered(address);
    // Its workflow collects for a minute: what it would send then is sent now.
    await system.sql(
      `INSERT INTO notifications (id, account_id, kind, data)
        SELECT posthorn_uuid_v7(), id, 'endpoint.failing', '{}' FROM accounts, generate_series(1, 3)
        WHERE $1 = ANY (notification_emails)`,
      [address],
    );
    const notifier = system.get(Notifier);
    await Promise.all([notifier.sendById(account.id), notifier.sendById(account.id)]);
    expect(taken()).toHaveLength(2);
    expect(taken()[1]?.raw).toContain('Subject: 3 notices about the endpoints of Acme <&> Co');
    expect(taken()[1]?.raw.match(/Deliveries are failing\r\n\r\n/g)).toHaveLength(3);
  });

  it('are mailed later where the mail server takes nothing for a while, and never twice', async () => {
    mailbox.reply = { code: 451, text: 'come back later' };
    await loseOne();
    await mailbox.offered(address);
    mailbox.reply = null;
    await settled();
    await system.get(Notifier).sendById(account.id);
    expect(taken()).toHaveLength(1);
  });

  it('are not offered again to a mail server that refuses them for good', async () => {
    mailbox.reply = { code: 550, text: 'no such user' };
    await loseOne();
    await mailbox.offered(address);
    await settled();
    await system.get(Notifier).sendById(account.id);
    expect(mailbox.for(address)).toHaveLength(1);
  });

  it('are not mailed again where nobody knows whether the mail server has taken them', async () => {
    mailbox.reply = 'hangs up';
    await loseOne();
    await mailbox.offered(address);
    await settled();
    mailbox.reply = null;
    await system.get(Notifier).sendById(account.id);
    expect(taken()).toHaveLength(1);
  });

  it('are mailed once the mail server has us again', async () => {
    mailbox.welcome = { code: 550, text: 'no such sender' };
    await loseOne();
    await until(
      () => mailbox.turnedAway,
      (count) => count > 0,
    );
    mailbox.welcome = null;
    await settled();
    expect(taken()).toHaveLength(1);
  });

  it('are all published while the mail server takes none, and are left to the list after a day', async () => {
    mailbox.reply = { code: 451, text: 'come back later' };
    await system.sql(
      // As if its workflow had just been woken, so that nobody else sends them.
      `INSERT INTO notifications (id, account_id, kind, data, woken_at, created_at)
        SELECT posthorn_uuid_v7(), $1, 'endpoint.failing', '{}', now(), now() - CASE WHEN n <= 250 THEN interval '2 days' ELSE '0' END
        FROM generate_series(1, 251) n`,
      [fromId('account', account.id)],
    );
    const notifier = system.get(Notifier);
    const count = async (condition: string) =>
      (
        await system.sql(`SELECT 1 FROM notifications WHERE account_id = $1 AND ${condition}`, [
          fromId('account', account.id),
        ])
      ).length;
    await expect(notifier.sendById(account.id)).rejects.toThrow('did not take a message');
    expect([await count('published_at IS NOT NULL'), await count('pending')]).toEqual([251, 51]);
    mailbox.reply = null;
    await notifier.sendById(account.id);
    expect([await count('pending'), await count('mailed_at IS NOT NULL')]).toEqual([0, 1]);
    expect(taken()).toHaveLength(1);
  });

  it('are told as soon as Temporal is there again, however long it was away', async () => {
    const temporal = system.get(Temporal);
    const away = jest.spyOn(temporal, 'call').mockRejectedValue(new TemporalUnavailableError());
    await system.sql(
      `INSERT INTO notifications (id, account_id, kind, data, created_at)
        VALUES (posthorn_uuid_v7(), $1, 'endpoint.failing', '{}', now() - interval '5 minutes')`,
      [fromId('account', account.id)],
    );
    // As is done every few seconds.
    await system.get(NotificationsService).wakeLate(30);
    away.mockRestore();
    await system.get(NotificationsService).wakeLate(30);
    await settled();
    expect(taken()).toHaveLength(1);
  });

  it('are published under a prefix that nobody else may publish under', async () => {
    const answer = await system.call('POST', `${account.path}/events`, {
      type: 'posthorn.endpoint.failing',
      data: {},
    });
    expect(answer.status).toBe(422);
    expect(answer.body).toMatchObject({ errors: [{ pointer: '/type' }] });
  });

  it('are mailed to addresses only', async () => {
    for (const notificationEmails of [
      ['nobody'],
      ['a@b.example\r\nbcc: c@d.example'],
      Array(11).fill('a@b.example'),
    ]) {
      const answer = await system.call('PATCH', account.path, { notificationEmails });
      expect(answer.status).toBe(422);
    }
  });
});

describe('a mail', () => {
  const message = { subject: 'a', text: 'b', html: 'c' };
  const send = async (url: string) => {
    const mailer = new Mailer(readSettings({ POSTHORN_SMTP_URL: url }));
    try {
      await mailer.send('ntf_1', ['ops@customer.example'], message);
    } finally {
      mailer.onApplicationShutdown();
    }
  };
  const answering = async (answer: (socket: Socket) => void): Promise<string> => {
    const server = createServer(answer).listen(0, '127.0.0.1');
    closing.push(() => server.close());
    await once(server, 'listening');
    return `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const closing: (() => unknown)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  it('has certainly not been taken where nobody listens, or hangs up before it was begun', async () => {
    const url = await answering((socket) => socket.destroy());
    await expect(send(url)).rejects.toThrow(MailRefusedError);
    for (const close of closing.splice(0)) close();
    await expect(send(url)).rejects.toThrow(MailRefusedError);
  });

  it('may have been taken where the server hangs up behind it', async () => {
    const mailbox = await Mailbox.start();
    mailbox.reply = 'hangs up';
    const failure: unknown = await send(mailbox.url).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Error);
    expect(failure).not.toBeInstanceOf(MailRefusedError);
    expect(mailbox.for('ops@customer.example')).toHaveLength(1);
    await mailbox.stop();
  });
});
