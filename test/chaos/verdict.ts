import type { DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import type { Customer } from './customers.js';
import type { PublisherLedger } from './publisher.js';
import { pairOf, type ReceiverLedger } from './receiver.js';

export interface Evidence {
  customers: Customer[];
  published: PublisherLedger;
  received: ReceiverLedger;
  /** The whole delivery log of every customer. */
  log: DeliverySummary[];
  /** Processes of Posthorn that ended by themselves or hung. */
  troubles: string[];
  duplicates: 'none' | 'allowed';
  /** When the fault was over. */
  overAtMs: number;
}

export interface Verdict {
  passed: boolean;
  /** Events that were answered 202. */
  accepted: number;
  /** Deliveries that these make. */
  deliveries: number;
  /** Deliveries that never were answered 2xx. */
  lost: number;
  /** Requests that came after the same delivery had been answered 2xx. */
  duplicates: number;
  /** Publishes that were tried again, and those whose first try had been committed. */
  triedAgain: number;
  answersLost: number;
  /** From the end of the fault until the last delivery of what had been accepted by then. */
  drainMs: number;
  /** What is wrong, in words. */
  faults: string[];
}

const SHOWN = 3;

/** Compares what was accepted, what arrived and what the delivery log says. */
export function judge(evidence: Evidence): Verdict {
  const { customers, published, received, log, troubles, duplicates: permitted, overAtMs } = evidence;
  const names = new Map(customers.flatMap(({ endpoints }) => endpoints.map(({ id, name }) => [id, name])));
  const logged = new Map(
    log.map((row) => [pairOf(names.get(row.endpointId) ?? row.endpointId, row.eventId ?? row.id), row]),
  );
  const found: Record<string, string[]> = {};
  const find = (what: string, which: string) => (found[what] ??= []).push(which);

  const expected = new Map<string, number>();
  for (const { id, accountId, atMs } of published.accepted.values()) {
    const endpoints = customers.find((customer) => customer.accountId === accountId)?.endpoints ?? [];
    for (const { name } of endpoints) expected.set(pairOf(name, id), atMs);
  }
  let duplicates = 0;
  let lost = 0;
  let drainMs = 0;
  for (const [pair, acceptedAtMs] of expected) {
    const receipt = received.receipts.get(pair);
    const arrivedAtMs = receipt?.firstAcceptedAtMs ?? null;
    if (arrivedAtMs === null) {
      lost += 1;
      find('lost', pair);
    } else if (acceptedAtMs <= overAtMs) drainMs = Math.max(drainMs, arrivedAtMs - overAtMs);
    duplicates += Math.max((receipt?.accepted ?? 0) - 1, 0);
    const row = logged.get(pair);
    if (!row) find('not in the delivery log', pair);
    else if ((row.status === 'delivered') !== (arrivedAtMs !== null))
      find('the delivery log differs from the receiver', `${pair} is ${row.status}`);
  }
  for (const pair of [...logged.keys(), ...received.receipts.keys()])
    if (!expected.has(pair)) find('delivered, but never accepted', pair);
  if (logged.size !== log.length) find('twice in the delivery log', `${log.length - logged.size}`);
  for (const [externalId, ids] of received.idsOf) {
    const accepted = published.accepted.get(externalId)?.id;
    if (ids.size > 1 || (accepted !== undefined && !ids.has(accepted)))
      find('arrived under another webhook-id', `${externalId}: ${[...ids].join(', ')}`);
  }
  if (received.badSignatures > 0) find('with a bad signature', `${received.badSignatures}`);
  if (permitted === 'none' && duplicates > 0) find('duplicates where none may be', `${duplicates}`);
  for (const refusal of published.refused) find('publishes refused', refusal);
  for (const trouble of troubles) find('in trouble', trouble);

  const faults = Object.entries(found).map(
    ([what, which]) =>
      `${what} (${which.length}): ${which.slice(0, SHOWN).join('; ')}${which.length > SHOWN ? '; …' : ''}`,
  );
  return {
    passed: faults.length === 0,
    accepted: published.accepted.size,
    deliveries: expected.size,
    lost,
    duplicates,
    triedAgain: published.triedAgain,
    answersLost: published.answersLost,
    drainMs,
    faults,
  };
}
