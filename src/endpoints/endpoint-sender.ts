import { Inject, Injectable } from '@nestjs/common';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { RESULT_BYTES } from '../batches/results.js';
import { toId, uuidV7 } from '../common/ids.js';
import { VERSION } from '../common/version.js';
import { OpenedCredentials, type ReadyCredentials } from '../credentials/opened-credentials.js';
import { sendAs } from '../credentials/send-as.js';
import type { Message } from '../messages/message.js';
import { OpenedSecrets, type SealedSecret } from '../signing/opened-secrets.js';
import { SCHEMES, type Signing, STANDARD } from '../signing/schemes.js';
import { MULTI_STATUS } from '../transport/response.js';
import { Transport } from '../transport/transport.js';
import type { OutgoingRequest, TransportResult } from '../transport/types.js';
import { MASK, maskHeaders } from './custom-headers.js';
import { EndpointSeals } from './endpoint-seals.js';

const USER_AGENT = `Posthorn/${VERSION}`;

/** An endpoint's row and its live secrets, the newest first: all that a request to it needs. */
export interface ReachableEndpoint {
  endpoint_id: string;
  url: string;
  timeout_ms: number;
  sealed_headers: Buffer | null;
  sealed_auth: Buffer | null;
  /** Null: Standard Webhooks. */
  signing: Signing | null;
  verification: string;
  secrets: SealedSecret[] | null;
}

/** Selects a {@link ReachableEndpoint} but for its secrets, of `endpoints e`. */
export const REACHABLE_COLUMNS =
  'e.id AS endpoint_id, e.url, e.timeout_ms, e.sealed_headers, e.sealed_auth, e.signing, e.verification';

/** The live secrets of `endpoints e`, as `s`. As JSON: the driver reads an array letter by letter. */
export const LIVE_SECRETS = `LATERAL (
  SELECT json_agg(json_build_array(id, encode(sealed, 'hex')) ORDER BY id DESC) AS secrets
  FROM endpoint_secrets WHERE endpoint_id = e.id AND (expires_at IS NULL OR expires_at > now())
) s`;

export interface Sent {
  result: TransportResult;
  /** What went out, with every credential masked. */
  request: { method: string; url: string; headers: Record<string, string> };
}

export type ShownMessage = Sent['request'] & { body: string };

/** Signs and sends to endpoints, whatever for. */
@Injectable()
export class EndpointSender {
  private readonly secrets: OpenedSecrets;
  private readonly credentials: OpenedCredentials;
  private readonly origin: string;

  constructor(
    private readonly seals: EndpointSeals,
    private readonly transport: Transport,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.secrets = new OpenedSecrets((id, sealed) => this.seals.openSecret(id, sealed));
    this.credentials = new OpenedCredentials((id, sealed) => this.seals.openCredentials(id, sealed));
    this.origin = settings.WEBHOOK_ORIGIN;
  }

  /**
   * The request of Standard Webhooks 1.0, signed by the endpoint's scheme.
   *
   * @param id `webhook-id`
   * @param atMs the moment of `webhook-timestamp`, unix milliseconds
   * @throws TransportFault as {@link Transport.send} does
   */
  async send(endpoint: ReachableEndpoint, id: string, message: Message, atMs: number): Promise<Sent> {
    const timestampSeconds = Math.floor(atMs / 1000);
    const { scheme } = endpoint.signing ?? STANDARD;
    const secrets = (endpoint.secrets ?? []).map((sealed) => this.secrets.get(sealed, scheme));
    const signature = SCHEMES[scheme].sign(secrets, { id, timestampSeconds, body: message.body });
    return this.request(endpoint, this.outgoing(endpoint, id, message, timestampSeconds, signature));
  }

  /** What {@link send} would send, with credentials and signature masked: a signature is good for whoever has it. */
  show(endpoint: ReachableEndpoint, id: string, message: Message, atMs: number): ShownMessage {
    const outgoing = this.outgoing(endpoint, id, message, Math.floor(atMs / 1000), MASK);
    return { ...shownRequest(outgoing, this.credentialsOf(endpoint)), body: message.body };
  }

  private outgoing(
    endpoint: ReachableEndpoint,
    id: string,
    { url, headers, body, isArray }: Message,
    timestampSeconds: number,
    signature: string,
  ): OutgoingRequest {
    return {
      method: 'POST',
      url,
      headers: {
        ...this.seals.openHeaders(endpoint.endpoint_id, endpoint.sealed_headers),
        ...headers,
        'user-agent': USER_AGENT,
        'webhook-id': id,
        'webhook-timestamp': String(timestampSeconds),
        // Whoever gave leave to this origin is told it with each request (CloudEvents HTTP webhook 1.0 §4.1.2).
        ...(endpoint.verification === 'handshake' ? { 'webhook-request-origin': this.origin } : {}),
        [(endpoint.signing ?? STANDARD).header]: signature,
      },
      body,
      timeoutMs: endpoint.timeout_ms,
      ...(isArray ? { whole: { bytes: RESULT_BYTES, ofStatus: MULTI_STATUS } } : {}),
    };
  }

  /** A message of our own in the shape of an event, that no delivery stands for. */
  ask(endpoint: ReachableEndpoint, type: 'ping' | 'url_verification', data: object): Promise<Sent> {
    const now = new Date();
    const id = toId('event', uuidV7(now.getTime()));
    const body = JSON.stringify({ id, type, timestamp: now.toISOString(), version: '1', data });
    const message = { url: endpoint.url, headers: { 'content-type': 'application/json' }, body };
    return this.send(endpoint, id, message, now.getTime());
  }

  /** Asks whether deliveries are wanted (CloudEvents HTTP webhook 1.0 §4.1). @param callbackUrl null where there is none */
  async askLeave(endpoint: ReachableEndpoint, callbackUrl: string | null): Promise<Sent> {
    return this.request(endpoint, {
      method: 'OPTIONS',
      url: endpoint.url,
      headers: {
        ...this.seals.openHeaders(endpoint.endpoint_id, endpoint.sealed_headers),
        'user-agent': USER_AGENT,
        'webhook-request-origin': this.origin,
        ...(callbackUrl === null ? {} : { 'webhook-request-callback': callbackUrl }),
      },
      body: '',
      timeoutMs: endpoint.timeout_ms,
    });
  }

  private async request(endpoint: ReachableEndpoint, outgoing: OutgoingRequest): Promise<Sent> {
    const credentials = this.credentialsOf(endpoint);
    const result = await (credentials
      ? sendAs(this.transport, credentials, outgoing)
      : this.transport.send(outgoing));
    return { result, request: shownRequest(outgoing, credentials) };
  }

  private credentialsOf({
    endpoint_id: id,
    sealed_auth: sealed,
  }: ReachableEndpoint): ReadyCredentials | undefined {
    return sealed === null ? undefined : this.credentials.get(id, sealed);
  }
}

function shownRequest(
  { method, url, headers }: OutgoingRequest,
  credentials: ReadyCredentials | undefined,
): Sent['request'] {
  const masked = maskHeaders(headers);
  return { method, url, headers: credentials ? { ...masked, ...credentials.maskedHeaders } : masked };
}
