import type { Answer } from './answer.js';

/** How long a failure is believed, so that what fails is not asked by each of many deliveries. */
export const FAILURE_MS = 1_000;
/** What an entry takes beside its texts. */
const ENTRY_BYTES = 200;

interface Kept {
  answer: Answer;
  untilMs: number;
  bytes: number;
}

/** Answers that are good for a while, within a number of bytes: the oldest go first. */
export class AnswerCache {
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  /** @param nowMs milliseconds of a clock that only goes forward */
  get(key: string, nowMs: number): Answer | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (kept.untilMs > nowMs) return kept.answer;
    this.#drop(key, kept);
    return undefined;
  }

  /** @param ttlMs of what was found; a failure is kept for {@link FAILURE_MS} */
  put(key: string, answer: Answer, ttlMs: number, nowMs: number): void {
    const before = this.#kept.get(key);
    if (before) this.#drop(key, before);
    const forMs = answer.kind === 'failed' ? FAILURE_MS : ttlMs;
    if (forMs <= 0) return;
    const text = answer.kind === 'found' ? answer.json : answer.detail;
    // Two bytes to a character at most.
    const bytes = 2 * (key.length + text.length) + ENTRY_BYTES;
    this.#kept.set(key, { answer, untilMs: nowMs + forMs, bytes });
    this.#bytes += bytes;
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes <= this.maxBytes) break;
      this.#drop(oldest, kept);
    }
  }

  #drop(key: string, { bytes }: Kept): void {
    this.#kept.delete(key);
    this.#bytes -= bytes;
  }
}
