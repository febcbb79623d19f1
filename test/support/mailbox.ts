import { EventEmitter, once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { ended, started } from './left-over.js';

export interface Mail {
  to: string[];
  isTaken: boolean;
  /** Headers and body as they came. */
  raw: string;
}

/** What the server says: nothing when all is well; where it hangs up, it has taken the message all the same. */
export type Reply = { code: number; text: string } | 'hangs up' | null;

const refusal = (reply: Exclude<Reply, 'hangs up'>): Error | null =>
  reply && Object.assign(new Error(reply.text), { responseCode: reply.code });

/** A mail server on a real socket of the loopback. */
export class Mailbox {
  private readonly mails: Mail[] = [];
  private readonly sockets = new Set<Socket>();
  reply: Reply = null;
  /** What it says to whoever wants to send anything. */
  welcome: Exclude<Reply, 'hangs up'> = null;
  /** How often it was not well. */
  turnedAway = 0;
  private readonly events = new EventEmitter();
  private readonly server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onMailFrom: (_address, _session, callback) => {
      if (this.welcome) this.turnedAway += 1;
      callback(refusal(this.welcome));
    },
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const { reply } = this;
        this.mails.push({
          to: session.envelope.rcptTo.map(({ address }) => address),
          isTaken: reply === null || reply === 'hangs up',
          raw: Buffer.concat(chunks).toString('utf8'),
        });
        if (reply === 'hangs up') for (const socket of this.sockets) socket.destroy();
        else callback(refusal(reply));
        this.events.emit('offered');
      });
    },
  });

  static async start(): Promise<Mailbox> {
    const mailbox = new Mailbox();
    mailbox.server.on('error', () => undefined);
    mailbox.server.server.on('connection', (socket) => mailbox.sockets.add(socket));
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
