import { describe, expect, it } from '@jest/globals';
import type { DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import { pairOf } from './receiver.js';
import { type Evidence, judge } from './verdict.js';

const OVER_AT_MS = 10_000;

/** One event, accepted before the fault was over, for one endpoint that took it at its second request. */
function evidence(): Evidence {
  const row: DeliverySummary = {
    id: 'dlv_1',
    accountId: 'acc_1',
    eventId: 'evt_1',
    eventType: 'order.placed',
    endpointId: 'ep_1',
    batchId: null,
    batch: null,
    priority: 'normal',
    status: 'delivered',
    statusReason: null,
    attemptCount: 2,
    nextAttemptAt: null,
    test: false,
    createdAt: '',
    completedAt: '',
  };
  return {
    customers: [{ accountId: 'acc_1', endpoints: [{ id: 'ep_1', name: 'flaky' }] }],
    published: {
      accepted: new Map([['order-1', { id: 'evt_1', accountId: 'acc_1', atMs: 9_000 }]]),
      triedAgain: 0,
      answersLost: 0,
      refused: [],
    },
    received: {
      receipts: new Map([
        [pairOf('flaky', 'evt_1'), { requests: 2, accepted: 1, firstAcceptedAtMs: 12_500 }],
      ]),
      idsOf: new Map([['order-1', new Set(['evt_1'])]]),
      badSignatures: 0,
    },
    log: [row],
    troubles: [],
    duplicates: 'none',
    overAtMs: OVER_AT_MS,
  };
}

const receiptIn = ({ received }: Evidence) => {
  const receipt = received.receipts.get(pairOf('flaky', 'evt_1'));
  if (!receipt) throw new Error('the evidence has no receipt');
  return receipt;
};
const rowIn = ({ log: [row] }: Evidence) => {
  if (!row) throw new Error('the evidence has no log');
  return row;
};

describe('judge', () => {
  it('passes what arrived once and is logged so, and says how long it took after the fault', () => {
    expect(judge(evidence())).toMatchObject({
      passed: true,
      accepted: 1,
      deliveries: 1,
      lost: 0,
      duplicates: 0,
      drainMs: 2_500,
      faults: [],
    });
  });

  it('does not count what was accepted after the fault as its backlog', () => {
    const late = evidence();
    late.published.accepted.set('order-1', { id: 'evt_1', accountId: 'acc_1', atMs: 11_000 });
    expect(judge(late).drainMs).toBe(0);
  });

  it('passes duplicates with the same webhook-id only where they are allowed', () => {
    const twice = evidence();
    receiptIn(twice).accepted = 2;
    expect(judge(twice)).toMatchObject({ passed: false, duplicates: 1 });
    expect(judge({ ...twice, duplicates: 'allowed' })).toMatchObject({ passed: true, duplicates: 1 });
  });

  it.each<[string, (bad: Evidence) => unknown, string]>([
    ['what never arrived', ({ received }) => received.receipts.clear(), 'lost'],
    [
      'what was refused each time',
      (bad) => Object.assign(receiptIn(bad), { accepted: 0, firstAcceptedAtMs: null }),
      'lost',
    ],
    ['a delivery that the log lacks', ({ log }) => log.pop(), 'not in the delivery log'],
    ['a delivery that the log has twice', (bad) => bad.log.push(rowIn(bad)), 'twice in the delivery log'],
    ['an open delivery', (bad) => (rowIn(bad).status = 'retrying'), 'flaky evt_1 is retrying'],
    [
      'a delivery of an event that nobody had accepted',
      ({ published }) => published.accepted.clear(),
      'never accepted',
    ],
    [
      'another webhook-id',
      ({ received }) => received.idsOf.get('order-1')?.add('evt_2'),
      'under another webhook-id',
    ],
    ['a bad signature', ({ received }) => (received.badSignatures = 1), 'bad signature'],
    ['a refused publish', ({ published }) => published.refused.push('order-2: 500'), 'publishes refused'],
    ['a process that crashed', ({ troubles }) => troubles.push('worker-1 ended by itself'), 'in trouble'],
  ])('fails for %s', (_what, spoil, fault) => {
    const bad = evidence();
    spoil(bad);
    const verdict = judge(bad);
    expect(verdict.passed).toBe(false);
    expect(verdict.faults.join('\n')).toContain(fault);
  });
});
