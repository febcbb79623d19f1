import type { Verdict } from './verdict.js';

/** One scenario in one lane, and how it ended. */
export interface Result {
  scenario: string;
  what: string;
  lane: string;
  /** Null when it was not judged; `note` says why. */
  verdict: Verdict | null;
  passed: boolean;
  note: string;
  seconds: number;
}

const HEADINGS = [
  'scenario',
  'lane',
  'accepted',
  'deliveries',
  'lost',
  'duplicates',
  'publishes again',
  'drained after',
  'verdict',
];

/** The results as a table of text, and what is wrong below it. */
export function tableOf(results: Result[]): string {
  const rows = [HEADINGS, ...results.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const [head = '', ...body] = lines;
  const wrong = results
    .filter(({ passed, note }) => !passed || note !== '')
    .flatMap(({ scenario, lane, note, verdict }) =>
      [note, ...(verdict?.faults ?? [])].filter(Boolean).map((line) => `${scenario}, ${lane}: ${line}`),
    );
  return ['', head, '─'.repeat(head.length), ...body, ...(wrong.length > 0 ? ['', ...wrong] : []), ''].join(
    '\n',
  );
}

function cellsOf({ scenario, lane, verdict, passed }: Result): string[] {
  if (!verdict) return [scenario, lane, '', '', '', '', '', '', passed ? 'not possible here' : 'FAILED'];
  const { accepted, deliveries, lost, duplicates, triedAgain, drainMs } = verdict;
  return [
    scenario,
    lane,
    ...[accepted, deliveries, lost, duplicates, triedAgain].map(String),
    `${(drainMs / 1000).toFixed(1)} s`,
    passed ? 'passed' : 'FAILED',
  ];
}

const isText = (column: number): boolean => column < 2 || column === HEADINGS.length - 1;
