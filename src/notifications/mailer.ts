import { Readable } from 'node:stream';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { createTransport, type Transporter } from 'nodemailer';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { Message } from './message.js';

const CONNECT_WITHIN_MS = 10_000;
const ANSWER_WITHIN_MS = 20_000;

/** The mail server took nothing. */
export class MailRefusedError extends Error {
  /** @param isFinal whether it will never take this message (RFC 5321 §4.2.1: a 5yz reply to its recipients or to itself) */
  constructor(
    readonly isFinal: boolean,
    cause: unknown,
  ) {
    super('the mail server did not take a message', { cause });
  }
}

/** What nodemailer says of a failure. */
interface SmtpFailure {
  command?: string;
  /** Of the server's reply. */
  responseCode?: number;
}

/** Whether the server will not have this message. That it will not have us is for whoever runs this to mend, and then it goes. */
const isOfMessage = ({ responseCode = 0, command }: SmtpFailure): boolean =>
  responseCode >= 500 && (command === 'RCPT TO' || command === 'DATA');

/** Sends e-mail by SMTP, where a mail server is configured. */
@Injectable()
export class Mailer implements OnApplicationShutdown {
  private readonly transport: Transporter | null;
  private readonly from: string;
  /** Ids of messages that the server has begun to read. */
  private readonly begun = new Set<string>();

  constructor(@Inject(SETTINGS_TOKEN) settings: Settings) {
    this.from = settings.MAIL_FROM;
    this.transport =
      settings.SMTP_URL === undefined
        ? null
        : createTransport({
            url: settings.SMTP_URL,
            connectionTimeout: CONNECT_WITHIN_MS,
            greetingTimeout: CONNECT_WITHIN_MS,
            socketTimeout: ANSWER_WITHIN_MS,
            // What is sent is composed here: nothing in it may name a file or an address to be read.
            disableFileAccess: true,
            disableUrlAccess: true,
          });
    this.transport?.use('stream', (mail, done) => {
      const { messageId } = mail.data;
      mail.message.processFunc((message) => noticed(message, () => this.begun.add(String(messageId))));
      done();
    });
  }

  get isConfigured(): boolean {
    return this.transport !== null;
  }

  /**
   * @param id names the message, so that mail systems can tell a repetition
   * @throws MailRefusedError when it is certain that nobody got it; anything else leaves that open
   */
  async send(id: string, to: readonly string[], { subject, text, html }: Message): Promise<void> {
    if (!this.transport) throw new Error('no mail server is configured');
    const domain = /@([^@>\s]+)>?\s*$/.exec(this.from)?.[1] ?? 'localhost';
    const messageId = `<${id}@${domain}>`;
    try {
      await this.transport.sendMail({
        from: this.from,
        to: [...to],
        subject,
        text,
        html,
        messageId,
        // No machine is to answer (RFC 3834 §5).
        headers: { 'auto-submitted': 'auto-generated' },
      });
    } catch (error) {
      const failure = error as SmtpFailure;
      // Once it was sent, only an answer tells whether it was taken.
      if (failure.responseCode === undefined && this.begun.has(messageId)) throw error;
      throw new MailRefusedError(isOfMessage(failure), error);
    } finally {
      this.begun.delete(messageId);
    }
  }

  onApplicationShutdown(): void {
    this.transport?.close();
  }
}

/** A message as it is, with word of when the first of it is read. */
function noticed(message: Readable, onBegun: () => void): Readable {
  return Readable.from(
    (async function* () {
      onBegun();
      yield* message;
    })(),
    { objectMode: false },
  );
}
