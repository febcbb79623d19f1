import { Inject, Injectable } from '@nestjs/common';
import { VERSION } from '../common/version.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { OpenedCredentials } from '../credentials/opened-credentials.js';
import { sendAs } from '../credentials/send-as.js';
import { Metrics } from '../metrics/metrics.js';
import { Transport } from '../transport/transport.js';
import type { OutgoingRequest, TransportResult } from '../transport/types.js';
import { within } from '../transport/within.js';
import { type Answer, MAX_ANSWER_BYTES, readAnswer } from './answer.js';
import { AnswerCache } from './answer-cache.js';
import { Line } from '../common/line.js';
import type { Lookup } from './lookup.js';
import { LookupSeals } from './lookup-seals.js';

/** There is too much to ask: whoever wants it comes back. */
export interface Busy {
  kind: 'busy';
}
const BUSY: Busy = { kind: 'busy' };

const CACHE_BYTES = 32 * 1024 * 1024;
/** Requests of one lookup that may be under way at once. */
const ASKED_AT_ONCE = 64;
/** An attempt that waits longer takes one of the places for those who wait. */
const PATIENCE_MS = 200;
/** What share of all attempts may wait so. */
const WAITING_SHARE = 0.25;

/** Asks lookups: once for all who want the same, and not again while the answer is good. */
@Injectable()
export class LookupAnswers {
  private readonly cache = new AnswerCache(CACHE_BYTES);
  private readonly underWay = new Map<string, Promise<Answer | Busy>>();
  private readonly lines = new Map<string, Line>();
  private readonly waiting = new Map<string, number>();
  private waitingInAll = 0;
  private readonly most: number;
  private readonly credentials: OpenedCredentials;

  constructor(
    private readonly transport: Transport,
    private readonly metrics: Metrics,
    seals: LookupSeals,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.credentials = new OpenedCredentials((name, sealed) => seals.open(name, sealed));
    this.most = Math.max(2, Math.floor(settings.ATTEMPT_CONCURRENCY * WAITING_SHARE));
  }

  /**
   * @param accountId whose event it is for
   * @throws TransportFault as {@link Transport.send} does
   */
  async get(lookup: Lookup, accountId: string, url: string): Promise<Answer | Busy> {
    const key = `${lookup.version} ${url}`;
    const kept = this.cache.get(key, performance.now());
    if (kept) {
      this.metrics.lookedUp('kept');
      return kept;
    }
    const asking = this.underWay.get(key) ?? this.begin(key, accountId, lookup, url);
    const answer = await within(PATIENCE_MS, asking);
    return answer === 'late' ? this.wait(lookup.name, asking) : answer;
  }

  /** A lookup that is slow must not keep those attempts waiting that have nothing to do with it. */
  private async wait(name: string, asking: Promise<Answer | Busy>): Promise<Answer | Busy> {
    const waiting = this.waiting.get(name) ?? 0;
    if (this.waitingInAll >= this.most || waiting >= this.most / 2) return BUSY;
    this.waiting.set(name, waiting + 1);
    this.waitingInAll += 1;
    try {
      return await asking;
    } finally {
      this.waiting.set(name, (this.waiting.get(name) ?? 1) - 1);
      this.waitingInAll -= 1;
    }
  }

  private begin(key: string, accountId: string, lookup: Lookup, url: string): Promise<Answer | Busy> {
    const asking = this.ask(accountId, lookup, url)
      .then((answer) => {
        if (answer.kind !== 'busy') {
          this.metrics.lookedUp(answer.kind);
          this.cache.put(key, answer, lookup.cacheTtlMs, performance.now());
        }
        return answer;
      })
      .finally(() => this.underWay.delete(key));
    // Everybody who waited for it may have left.
    asking.catch(() => undefined);
    this.underWay.set(key, asking);
    return asking;
  }

  private async ask(accountId: string, lookup: Lookup, url: string): Promise<Answer | Busy> {
    const { name, timeoutMs } = lookup;
    const line = this.lines.get(name) ?? new Line(ASKED_AT_ONCE);
    this.lines.set(name, line);
    if (!(await line.enter(accountId, timeoutMs))) return BUSY;
    try {
      const result = await this.send(lookup, {
        method: 'GET',
        url,
        headers: { accept: 'application/json', 'user-agent': `Posthorn/${VERSION}` },
        body: '',
        timeoutMs,
        whole: { bytes: MAX_ANSWER_BYTES },
      });
      if (!result.ok && result.failure.comeBackMs !== undefined) return BUSY;
      return readAnswer(result, timeoutMs);
    } finally {
      line.leave();
    }
  }

  private send({ name, sealedAuth }: Lookup, request: OutgoingRequest): Promise<TransportResult> {
    if (sealedAuth === null) return this.transport.send(request);
    return sendAs(this.transport, this.credentials.get(name, sealedAuth), request);
  }
}
