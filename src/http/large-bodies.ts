import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../auth/caller.js';
import { fromId } from '../common/ids.js';
import { Problem } from '../common/problems.js';
import { SharedRoom } from '../common/shared-room.js';
import { BodyTurns } from './body-turns.js';

/** Bodies from here on are known before they are taken: what comes with one event alone is not to wait for many of them. */
export const LARGE_BYTES = 16 * 1024;
/** What a process has at once of large bodies, from their first byte to the answer. */
const ROOM = { items: 1_000, bytes: 256 * 1024 * 1024 };

declare module 'fastify' {
  interface FastifyRequest {
    /** UUID of the account that a large body counts for, or `operator`. */
    largeBodyOf?: string;
  }
}

/**
 * Bodies that take memory to receive and time to read. Of those who send one nothing is received before their credential was
 * found good and their account has room, and they take turns in being read.
 */
export class LargeBodies {
  private readonly room = new SharedRoom(ROOM);
  private readonly turns = new BodyTurns();

  /** @param identify who sends a request; rejects with the problem where that is nobody */
  constructor(private readonly identify: (request: FastifyRequest) => Promise<Caller>) {}

  /** @returns how many bytes the body may have; null where it is small, or too large for its route and refused for that */
  static bytesOf(request: FastifyRequest): number | null {
    const { 'content-length': told, 'transfer-encoding': encoding } = request.headers;
    const most = request.bodyLimitBytes ?? request.routeOptions.bodyLimit;
    // Without a length it may become as large as any.
    const bytes = encoding === undefined ? Number(told ?? 0) : most;
    return bytes < LARGE_BYTES || bytes > most ? null : bytes;
  }

  /**
   * To be awaited before the body is received.
   *
   * @throws Problem `not_found` where no route would take it, `unavailable` where there is no room, and what `identify` throws
   */
  async admit(request: FastifyRequest, reply: FastifyReply, bytes: number): Promise<void> {
    if (request.is404) throw new Problem('not_found', 'There is no such path.');
    // Public routes take none.
    if (request.routeOptions.config.isPublic === true) return;
    const caller = await this.identify(request);
    // What was given up meanwhile ends by itself, and would never leave.
    if (request.raw.socket.destroyed) return;
    const { account } = request.params as { account?: string };
    const owner = caller.accountId ?? fromId('account', account ?? '') ?? 'operator';
    const amount = { items: 1, bytes };
    if (!this.room.enter(owner, amount))
      throw new Problem('unavailable', 'More large bodies are here than this process takes.', {
        retryAfterSeconds: 1,
      });
    onceOver(request, reply, () => this.room.leave(owner, amount));
    request.largeBodyOf = owner;
  }

  /** Reads a body when it is its turn: at once where it is small. */
  read(request: FastifyRequest, body: Buffer, read: () => void): void {
    const { largeBodyOf } = request;
    if (largeBodyOf === undefined || body.length < LARGE_BYTES) read();
    else this.turns.add(largeBodyOf, read);
  }
}

/** Of an answer that waits for another one on its connection Node says nothing when the connection ends. */
function onceOver(
  { raw: { socket } }: FastifyRequest,
  { raw: answer }: FastifyReply,
  over: () => void,
): void {
  const end = () => {
    answer.off('close', end);
    socket.off('close', end);
    over();
  };
  answer.once('close', end);
  // As many as are sent ahead on one connection.
  socket.setMaxListeners(0).once('close', end);
}
