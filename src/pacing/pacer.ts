import { Inject, Injectable } from '@nestjs/common';
import { fromSystemMs, steadyMs, toSystemMs } from '../common/steady-clock.js';
import { Tally } from '../common/tally.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { EndpointPace, type Met } from './endpoint-pace.js';
import { Lead } from './lead.js';
import { LIMIT_COLUMNS, type LimitColumns, limitsOf } from './limits.js';
import { Reservations } from './reservations.js';

export type Admission =
  | { kind: 'go' }
  /** It waited for its turn so long that what was loaded before may not hold any more: look again, its turn is kept. */
  | { kind: 'look_again' }
  /** Come back then. With `slotAtMs`, that moment, or one shortly after, is reserved for this delivery. */
  | { kind: 'deferred'; waitMs: number; slotAtMs?: number };

/** Waits this short are sat out in place: a timer of the engine costs more. */
const SHORT_WAIT_MS = 25;
/** Whoever has missed a moment of its own waits for the next one here: timers of a busy engine would miss that one too, and so on. */
const MISSED_WAIT_MS = 1_000;
/** How late a workflow may come to the moment reserved for it. */
const SLOT_GRACE_MS = 200;
/** Least wait of an attempt that found all places of its endpoint taken. */
const NO_ROOM_WAIT_MS = 500;
/** Share of all attempts under way past which endpoints of accounts with many keep to {@link CROWDED_EACH}. */
const CROWDED = 0.75;
const CROWDED_EACH = 2;
/** How long an attempt waits in place for one of its endpoint's. */
const TURN_WITHIN_MS = 500;
/** How old what was read for an attempt may be when it begins, and how long it may then wait for its turn. */
export const STALE_AFTER_MS = 50;
const IDLE_MS = 60_000;
/** An attempt that lasts longer lingers: its receiver is slow today, whatever it was before. */
const LINGERS_MS = 1_000;
/** With so many that linger, receivers that have not answered yet are taken for slow ones too. */
const MANY_LINGER = 128;

interface Ticket {
  pace: EndpointPace;
  accountId: string;
  sinceMs: number;
  /** Whether a reserved moment was spent on it. */
  paid: boolean;
  /** Whether it has a place for its request. */
  sending: boolean;
  /** Whether its attempt has begun: it leaves by itself. */
  begun: boolean;
}

/** Lets attempts of an endpoint begin at its own pace, so that an endpoint can only hurt itself. */
@Injectable()
export class Pacer {
  private readonly paces = new Map<string, EndpointPace>();
  private readonly tickets = new Map<string, Ticket>();
  private readonly byAccount = new Tally();
  private readonly lead = new Lead();
  private readonly most: number;
  private left: (deliveryId: string, endpointId: string) => void = () => undefined;
  private sent: (deliveryId: string) => void = () => undefined;

  constructor(
    private readonly database: Database,
    private readonly reservations: Reservations,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.most = settings.ATTEMPT_CONCURRENCY;
  }

  /** Attempts under way in this process. */
  get inFlight(): number {
    return this.tickets.size;
  }

  /** @param listener told when an attempt has ended: its endpoint may have room again */
  onLeave(listener: (deliveryId: string, endpointId: string) => void): void {
    this.left = listener;
  }

  /** @param listener told when the request of an attempt is about to be sent */
  onSend(listener: (deliveryId: string) => void): void {
    this.sent = listener;
  }

  of(endpointId: string): EndpointPace {
    const known = this.paces.get(endpointId);
    if (known) return known;
    const pace = new EndpointPace(endpointId);
    pace.usedAtMs = steadyMs();
    this.paces.set(endpointId, pace);
    return pace;
  }

  /** Whether places are short, and an endpoint has what is left to each of an account with more than it leaves to others. */
  isCrowded(pace: EndpointPace): boolean {
    return (
      this.isBusy &&
      pace.entered >= CROWDED_EACH &&
      this.byAccount.of(pace.accountId) >= this.most - this.tickets.size
    );
  }

  /** Whether most places for attempts are taken: what can wait should. */
  get isBusy(): boolean {
    return this.tickets.size >= this.most * CROWDED;
  }

  /** Whether the answer to an attempt that begins now is likely to be a long time coming. */
  isSlow(pace: EndpointPace): boolean {
    const before = steadyMs() - LINGERS_MS;
    let lingering = 0;
    // Those that began first are first.
    for (const ticket of this.tickets.values()) {
      if (ticket.sinceMs > before) break;
      if (ticket.pace === pace) return true;
      lingering += 1;
    }
    return pace.usualMs >= LINGERS_MS || (pace.usualMs === 0 && lingering >= MANY_LINGER);
  }

  /** Whether an attempt of this delivery is under way in this process, or about to begin. */
  has(deliveryId: string): boolean {
    return this.tickets.has(deliveryId);
  }

  /** Counts an attempt that is about to begin, unless one of the same delivery is under way. */
  enter(deliveryId: string, endpointId: string, accountId: string): void {
    if (this.tickets.has(deliveryId)) return;
    const pace = this.of(endpointId);
    pace.accountId = accountId;
    const sinceMs = steadyMs();
    this.take(deliveryId, {
      pace,
      accountId,
      sinceMs,
      paid: pace.enter(sinceMs),
      sending: false,
      begun: false,
    });
  }

  /** @param met null when nothing was sent */
  leave(deliveryId: string, met: Met | null): void {
    const ticket = this.tickets.get(deliveryId);
    if (!ticket) return;
    this.tickets.delete(deliveryId);
    this.byAccount.add(ticket.accountId, -1);
    ticket.pace.leave(steadyMs(), ticket.sending, met);
    this.left(deliveryId, ticket.pace.endpointId);
  }

  /** An attempt that was counted by {@link enter} will not be made, unless it has begun all the same. */
  giveUp(deliveryId: string): void {
    if (this.tickets.get(deliveryId)?.begun === false) this.leave(deliveryId, null);
  }

  /** A receiver asked for quiet: nothing more is sent to the endpoint until then. */
  quiet(endpointId: string, untilMs: number): void {
    const pace = this.of(endpointId);
    pace.notBeforeMs = Math.max(pace.notBeforeMs, untilMs);
  }

  /**
   * What an attempt's endpoint says of its limits now.
   *
   * @param account whose it is, and what its plan allows; left out where that is as it was
   */
  learn(
    endpointId: string,
    columns: LimitColumns,
    account?: { id: string; mostInFlight: number | null },
  ): EndpointPace {
    const pace = this.of(endpointId);
    if (account) [pace.accountId, pace.mostInFlight] = [account.id, account.mostInFlight];
    pace.learn(limitsOf(columns), columns.quiet_ms === null ? 0 : steadyMs() + columns.quiet_ms);
    return pace;
  }

  /**
   * Lets an attempt begin, or says when to come back. One that was counted by {@link enter} is only held up when its
   * endpoint turns out to be limited or to have asked for quiet; whatever is deferred is counted no more.
   */
  async admit(deliveryId: string, pace: EndpointPace, slotAtMs?: number): Promise<Admission> {
    const now = steadyMs();
    const ticket = this.tickets.get(deliveryId);
    if (ticket) ticket.begun = true;
    const quiet = pace.notBeforeMs > now;
    if (ticket && !quiet && (pace.limits.perSecond === null || ticket.paid))
      return this.turn(deliveryId, ticket);
    if (ticket) this.leave(deliveryId, null);
    if (quiet) return { kind: 'deferred', waitMs: pace.spaced(now, pace.notBeforeMs - now) - now };
    // First attempts hand on the places of a fast one among themselves: there are none but for those who wait in line.
    if ((!pace.hasRoom && !pace.isFast) || this.isCrowded(pace)) {
      return { kind: 'deferred', waitMs: pace.spaced(now, NO_ROOM_WAIT_MS) - now };
    }
    const since = performance.now();
    let paid = false;
    if (pace.limits.perSecond !== null) {
      const reservedMs = slotAtMs === undefined ? undefined : fromSystemMs(slotAtMs);
      if (reservedMs !== undefined) this.lead.came(now - reservedMs);
      const slot = await this.slot(pace, now, reservedMs);
      if (slot !== null) {
        const waitMs = slot - steadyMs();
        if (waitMs > (reservedMs === undefined ? Math.max(SHORT_WAIT_MS, this.lead.ms) : MISSED_WAIT_MS))
          return { kind: 'deferred', waitMs: waitMs - this.lead.ms, slotAtMs: toSystemMs(slot) };
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
        paid = true;
      }
    }
    // Somebody else may have been about to begin it meanwhile.
    const other = this.tickets.get(deliveryId);
    if (other) {
      other.begun = true;
      other.paid ||= paid;
      return other.sending ? { kind: 'look_again' } : this.turn(deliveryId, other, since);
    }
    const entered: Ticket = {
      pace,
      accountId: pace.accountId,
      sinceMs: now,
      paid,
      sending: false,
      begun: true,
    };
    pace.entered += 1;
    this.take(deliveryId, entered);
    return this.turn(deliveryId, entered, since);
  }

  private take(deliveryId: string, ticket: Ticket): void {
    this.tickets.set(deliveryId, ticket);
    this.byAccount.add(ticket.accountId);
  }

  private async turn(deliveryId: string, ticket: Ticket, since = performance.now()): Promise<Admission> {
    if (ticket.sending) return this.go(deliveryId);
    if (!(await ticket.pace.send(TURN_WITHIN_MS))) {
      if (!this.hasNoPlace(deliveryId, ticket)) return { kind: 'look_again' };
      this.leave(deliveryId, null);
      const now = steadyMs();
      return { kind: 'deferred', waitMs: ticket.pace.spaced(now, NO_ROOM_WAIT_MS) - now };
    }
    if (!this.hasNoPlace(deliveryId, ticket)) {
      ticket.pace.giveBack();
      return { kind: 'look_again' };
    }
    ticket.sending = true;
    return performance.now() - since > STALE_AFTER_MS ? { kind: 'look_again' } : this.go(deliveryId);
  }

  /** Whether it is still under way, and no other request of its attempt has taken a place meanwhile. */
  private hasNoPlace(deliveryId: string, ticket: Ticket): boolean {
    return this.tickets.get(deliveryId) === ticket && !ticket.sending;
  }

  private go(deliveryId: string): Admission {
    this.sent(deliveryId);
    return { kind: 'go' };
  }

  /** Reserves moments ahead for deliveries that wait in this process. */
  async reserve(pace: EndpointPace, count: number): Promise<void> {
    const { limits, slots } = await this.reservations.reserve(pace.endpointId, count);
    pace.learn(limits, 0);
    pace.addSlots(slots);
  }

  /** Reads the limits of endpoints that deliveries wait for: a change applies to what is already waiting. */
  async refresh(endpointIds: string[]): Promise<void> {
    const rows = await this.database.prepared<LimitColumns & { id: string }>(
      'endpoint_limits',
      `SELECT e.id, ${LIMIT_COLUMNS} FROM endpoints e LEFT JOIN endpoint_pace p ON p.endpoint_id = e.id
        WHERE e.id = ANY ($1::uuid[])`,
      [endpointIds],
    );
    for (const row of rows) this.learn(row.id, row);
  }

  /** Forgets endpoints that nothing was sent to for a while. @param isWaitedFor endpoints to keep */
  prune(isWaitedFor: (endpointId: string) => boolean): void {
    const before = steadyMs() - IDLE_MS;
    for (const [id, pace] of this.paces) {
      if (pace.entered === 0 && pace.usedAtMs < before && pace.notBeforeMs < steadyMs() && !isWaitedFor(id))
        this.paces.delete(id);
    }
  }

  /** The moment that is this attempt's: the one reserved before, while it is fresh, else a new one. */
  private async slot(pace: EndpointPace, now: number, reservedMs?: number): Promise<number | null> {
    if (reservedMs !== undefined && now - reservedMs <= SLOT_GRACE_MS) return reservedMs;
    const { limits, slots } = await this.reservations.reserve(pace.endpointId, 1);
    pace.learn(limits, 0);
    return slots[0] ?? null;
  }
}
