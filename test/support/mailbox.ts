import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { ended, started } from './left-over.js';

export interface Mail {
  to: string[];
  isTaken: boolean;
  /** Headers and body as they came. */
  raw: string;
}

/** What the server says to a message: nothing when it takes it. */
export type Reply = { code: number; text: string } | null;

/** A mail server on a real socket of the loopback. */
export class Mailbox {
  private readonly mails: Mail[] = [];
  reply: Reply = null;
  private readonly events = new EventEmitter();
  private readonly server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { reply } = this;
        this.mails.push({
          to: session.envelope.rcptTo.map(({ address }) => address),
          isTaken: reply === null,
          raw: Buffer.concat(chunks).toString('utf8'),
        });
        if (reply === null) callback();
        else callback(Object.assign(new Error(reply.text), { responseCode: reply.code }));
        this.events.emit('offered');
      });
    },
  });

  static async start(): Promise<Mailbox> {
    const mailbox = new Mailbox();
    mailbox.server.on('error', () => undefined);
    mailbox.server.listen(0, '127.0.0.1');
    await once(mailbox.server.server, 'listening');
    started(mailbox, () => mailbox.stop());
    return mailbox;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.server.server.address() as AddressInfo).port}`;
  }

  /** Messages that were offered for an address, taken or not. */
  for(address: string): Mail[] {
    return this.mails.filter(({ to }) => to.includes(address));
  }

  /** Resolves when a message was offered for an address. */
  async offered(address: string): Promise<void> {
    while (this.for(address).length === 0) await once(this.events, 'offered');
  }

  async stop(): Promise<void> {
    ended(this);
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }
}
