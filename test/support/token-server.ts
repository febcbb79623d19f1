import { type Answering, type Received, Receiver } from './receiver.js';

const json = { 'content-type': 'application/json' };

/** A token server of OAuth 2.0 on a real socket; it numbers its tokens. */
export class TokenServer {
  private issued = 0;

  private constructor(private readonly receiver: Receiver) {}

  static async start(expiresIn = 3600): Promise<TokenServer> {
    const server = new TokenServer(await Receiver.start());
    server.answers((response) => {
      const access_token = server.token(++server.issued);
      response
        .writeHead(200, json)
        .end(JSON.stringify({ access_token, token_type: 'Bearer', expires_in: expiresIn }));
    });
    return server;
  }

  token(number: number): string {
    return `access-token-${number}`;
  }

  get url(): string {
    return this.receiver.url;
  }

  get asked(): Received[] {
    return this.receiver.received;
  }

  answers(answer: Answering): void {
    this.receiver.answers(answer);
  }

  stop(): Promise<void> {
    return this.receiver.stop();
  }
}
