import type { Outcome } from './outcome.js';

type Row = [title: string, cell: (outcome: Outcome) => string];

/** Of fewer receipts than this, half say nothing. */
const MIN_RECEIPTS = 20;

const ROWS: Row[] = [
  ['', ({ name }) => name],
  ['events', ({ events }) => String(events)],
  ['attempts', ({ attempts }) => String(attempts)],
  ['retries among them', ({ retries }) => orDash(retries)],
  ['delivered', ({ delivered }) => orDash(delivered)],
  ['given up', ({ failed }) => orDash(failed)],
  ['skipped', ({ skipped }) => orDash(skipped)],
  ['signatures verified', ({ verified, refused }) => `${verified} of ${verified + refused.length}`],
  [
    'publish to receipt, p50',
    ({ p50Ms, verified }) => (p50Ms === null || verified < MIN_RECEIPTS ? '–' : duration(p50Ms)),
  ],
];
const TITLE_WIDTH = 24;
const CELL_WIDTH = 16;

/** The table of what happened, one column for each receiver, in 72 characters. */
export function table(outcomes: Outcome[]): { header: string; rule: string; rows: string[] } {
  const [header = '', ...rows] = ROWS.map(
    ([title, cell]) =>
      title.padEnd(TITLE_WIDTH) + outcomes.map((outcome) => cell(outcome).padStart(CELL_WIDTH)).join(''),
  );
  return { header, rule: '─'.repeat(header.length), rows };
}

/** `340 ms`, `1.2 s`. */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const orDash = (count: number): string => (count === 0 ? '–' : String(count));
