import { type PriorityLevel } from '../common/priority.js';
import { Tally } from '../common/tally.js';

export interface Queued {
  deliveryId: string;
  accountId: string;
  endpointId: string;
  priority: PriorityLevel;
}

export type MayGo = (endpointId: string, accountId: string) => boolean;

/**
 * A flow with this many waiting is a backlog, and stays one until nothing of it waits. One event for a good many endpoints is
 * none.
 */
const BACKLOG_FROM = 32;
/** For how long a flow without a backlog is expected back. */
const LIGHT_FOR_MS = 10_000;
const LEVELS = [1, 2, 3, 4] as const satisfies readonly PriorityLevel[];

/**
 * The deliveries that wait in one process, in the order in which they should go.
 *
 * A flow is what one account sends at one priority. Flows that keep up go first. Those with a backlog share what is
 * left, the more urgent priority first, accounts of one priority in turns, and an account's endpoints in turns. An
 * endpoint that may not be sent to is parked, and holds up nobody.
 */
export class FairQueue<Item extends Queued> {
  private readonly lines = new Map<string, Line<Item>>();
  private readonly flows = new Map<string, Flow<Item>>();
  /** Flows that something can be taken from, the next one first. */
  private readonly light = rings<Item>();
  private readonly backlogged = rings<Item>();
  private readonly ids = new Set<string>();
  private readonly byAccount = new Tally();
  /** When flows without a backlog were last here, the longest ago first. */
  private readonly lightAtMs = new Map<string, number>();
  private readyCount = 0;

  /** All that wait. */
  get size(): number {
    return this.ids.size;
  }

  /** Those that wait for nothing but a place. */
  get ready(): number {
    return this.readyCount;
  }

  has(deliveryId: string): boolean {
    return this.ids.has(deliveryId);
  }

  waitingFor(endpointId: string): number {
    return this.lines.get(endpointId)?.size ?? 0;
  }

  waitingOf(accountId: string): number {
    return this.byAccount.of(accountId);
  }

  /** Endpoints that something waits for, and whose they are. */
  get endpoints(): Iterable<{ endpointId: string; accountId: string }> {
    return this.lines.values();
  }

  get parked(): string[] {
    return [...this.lines.values()].filter(({ parked }) => parked).map(({ endpointId }) => endpointId);
  }

  /** @param first true for one that was taken and could not go: it is the next of its endpoint */
  push(item: Item, nowMs: number, first = false): void {
    if (this.ids.has(item.deliveryId)) return;
    this.ids.add(item.deliveryId);
    this.byAccount.add(item.accountId);
    let line = this.lines.get(item.endpointId);
    if (!line) {
      line = new Line(item.endpointId, item.accountId);
      this.lines.set(item.endpointId, line);
    }
    if (first) line.at(item.priority).unshift(item);
    else line.at(item.priority).push(item);
    line.size += 1;
    if (line.parked) return;
    const flow = this.flow(line.accountId, item.priority);
    flow.lines.add(line);
    this.count(flow, 1);
    this.place(flow, nowMs);
  }

  /** Makes it the next of its endpoint and priority, where it waits. */
  advance(deliveryId: string, endpointId: string): void {
    const line = this.lines.get(endpointId);
    if (!line || !this.ids.has(deliveryId)) return;
    for (const level of LEVELS) line.at(level).advance((item) => item.deliveryId === deliveryId);
  }

  /**
   * The next one whose endpoint `mayGo`; endpoints that may not are parked.
   *
   * @param backlogs whether flows with a backlog may be taken from too
   */
  take(nowMs: number, backlogs: boolean, mayGo: MayGo): { item: Item; backlog: boolean } | undefined {
    const light = this.takeFrom(this.light, nowMs, mayGo);
    if (light) return { item: light, backlog: false };
    const item = backlogs ? this.takeFrom(this.backlogged, nowMs, mayGo) : undefined;
    return item && { item, backlog: true };
  }

  /** Takes out, in no particular order, all that `chosen` names. */
  remove(chosen: (item: Item) => boolean, nowMs: number): Item[] {
    const kept: Item[] = [];
    const removed: Item[] = [];
    const parked = this.parked;
    for (const line of this.lines.values()) {
      for (const level of LEVELS)
        for (const item of line.at(level)) (chosen(item) ? removed : kept).push(item);
    }
    if (removed.length === 0) return removed;
    this.clear();
    for (const item of kept) this.push(item, nowMs);
    for (const endpointId of parked) {
      const line = this.lines.get(endpointId);
      if (line) this.park(line, nowMs);
    }
    return removed;
  }

  clear(): void {
    this.lines.clear();
    this.flows.clear();
    this.ids.clear();
    this.byAccount.clear();
    this.readyCount = 0;
    for (const level of LEVELS) {
      this.light[level].clear();
      this.backlogged[level].clear();
    }
  }

  /** Whether a flow without a backlog was here lately: backlogs then leave room for it. */
  lightIsExpected(nowMs: number): boolean {
    for (const [key, atMs] of this.lightAtMs) {
      if (nowMs - atMs < LIGHT_FOR_MS) return true;
      this.lightAtMs.delete(key);
    }
    return false;
  }

  /** The endpoint may be sent to again. */
  unpark(endpointId: string, nowMs: number): void {
    const line = this.lines.get(endpointId);
    if (!line?.parked) return;
    line.parked = false;
    for (const level of LEVELS) {
      const { length } = line.at(level);
      if (length === 0) continue;
      const flow = this.flow(line.accountId, level);
      flow.lines.add(line);
      this.count(flow, length);
      this.place(flow, nowMs);
    }
  }

  private takeFrom(
    rings: Record<PriorityLevel, Set<Flow<Item>>>,
    nowMs: number,
    mayGo: MayGo,
  ): Item | undefined {
    for (const level of LEVELS) {
      for (const flow of rings[level]) {
        for (const line of flow.lines) {
          if (!mayGo(line.endpointId, line.accountId)) {
            this.park(line, nowMs);
            continue;
          }
          return this.shift(flow, line, nowMs);
        }
      }
    }
    return undefined;
  }

  private shift(flow: Flow<Item>, line: Line<Item>, nowMs: number): Item | undefined {
    const waiting = line.at(flow.level);
    const item = waiting.shift();
    if (!item) return undefined;
    this.ids.delete(item.deliveryId);
    this.byAccount.add(item.accountId, -1);
    line.size -= 1;
    if (line.size === 0) this.lines.delete(line.endpointId);
    this.count(flow, -1);
    // To the end of its ring, and the flow to the end of its own: that is what taking turns is.
    flow.lines.delete(line);
    if (waiting.length > 0) flow.lines.add(line);
    this.unplace(flow);
    this.place(flow, nowMs);
    return item;
  }

  private park(line: Line<Item>, nowMs: number): void {
    line.parked = true;
    for (const level of LEVELS) {
      const flow = this.flows.get(flowKey(line.accountId, level));
      if (!flow?.lines.delete(line)) continue;
      this.count(flow, -line.at(level).length);
      this.unplace(flow);
      this.place(flow, nowMs);
    }
  }

  private flow(accountId: string, level: PriorityLevel): Flow<Item> {
    const key = flowKey(accountId, level);
    let flow = this.flows.get(key);
    if (!flow) {
      flow = { key, level, lines: new Set(), ready: 0, backlog: false };
      this.flows.set(key, flow);
    }
    return flow;
  }

  private place(flow: Flow<Item>, nowMs: number): void {
    if (flow.lines.size === 0) {
      this.unplace(flow);
      this.flows.delete(flow.key);
      return;
    }
    if (flow.ready >= BACKLOG_FROM && !flow.backlog) {
      this.unplace(flow);
      flow.backlog = true;
    }
    if (flow.backlog) {
      this.lightAtMs.delete(flow.key);
      this.backlogged[flow.level].add(flow);
    } else {
      this.lightAtMs.delete(flow.key);
      this.lightAtMs.set(flow.key, nowMs);
      this.light[flow.level].add(flow);
    }
  }

  private count(flow: Flow<Item>, change: number): void {
    flow.ready += change;
    this.readyCount += change;
  }

  private unplace(flow: Flow<Item>): void {
    this.light[flow.level].delete(flow);
    this.backlogged[flow.level].delete(flow);
  }
}

/** What waits for one endpoint. */
class Line<Item> {
  size = 0;
  parked = false;
  private readonly levels = {
    1: new Fifo<Item>(),
    2: new Fifo<Item>(),
    3: new Fifo<Item>(),
    4: new Fifo<Item>(),
  };

  constructor(
    readonly endpointId: string,
    readonly accountId: string,
  ) {}

  at(level: PriorityLevel): Fifo<Item> {
    return this.levels[level];
  }
}

interface Flow<Item> {
  key: string;
  level: PriorityLevel;
  /** Endpoints that something of this flow waits for and that may be sent to. */
  lines: Set<Line<Item>>;
  ready: number;
  backlog: boolean;
}

/** An array with a spent head, which is cut off now and then. */
class Fifo<Item> {
  private items: Item[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return this.items.slice(this.head).values();
  }

  push(item: Item): void {
    this.items.push(item);
  }

  unshift(item: Item): void {
    if (this.head > 0) this.items[(this.head -= 1)] = item;
    else this.items.unshift(item);
  }

  advance(isChosen: (item: Item) => boolean): void {
    const at = this.items.findIndex((item, index) => index >= this.head && isChosen(item));
    if (at !== -1) this.items.splice(this.head, 0, ...this.items.splice(at, 1));
  }

  shift(): Item | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head += 1;
    if (this.head > 64 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}

const flowKey = (accountId: string, level: PriorityLevel): string => `${accountId}/${level}`;

const rings = <Item>(): Record<PriorityLevel, Set<Flow<Item>>> => ({
  1: new Set(),
  2: new Set(),
  3: new Set(),
  4: new Set(),
});
