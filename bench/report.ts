import { round } from './statistics.js';

export interface Target {
  what: string;
  value: number;
  wanted: string;
  reached: boolean;
}

/** What a scenario has found: for people, and for machines. */
export interface Report {
  /** The first column is text, the others are aligned to the right. */
  columns: string[];
  rows: string[][];
  /** Lines below the table. */
  notes: string[];
  targets: Target[];
  figures: unknown;
}

export const atLeast = (what: string, value: number, bound: number, unit = ''): Target => ({
  what,
  value,
  wanted: `at least ${bound}${unit}`,
  reached: value >= bound,
});

export const atMost = (what: string, value: number, bound: number, unit = ''): Target => ({
  what,
  value,
  wanted: `at most ${bound}${unit}`,
  reached: value <= bound,
});

/** A figure in a table; a dash for one that this machine or lane does not give. */
export const cell = (value: number | undefined, digits = 1): string =>
  value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits);

export function renderReport(scenario: string, { columns, rows, notes, targets }: Report): string {
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = (cells: string[]) =>
    cells
      .map((text, index) => {
        const width = widths[index] ?? 0;
        return index === 0 ? text.padEnd(width) : text.padStart(width + 2);
      })
      .join('');
  return [
    '',
    scenario,
    line(columns),
    '─'.repeat(widths.reduce((sum, width) => sum + width + 2, -2)),
    ...rows.map(line),
    ...(notes.length + targets.length > 0 ? [''] : []),
    ...notes,
    ...targets.map(
      ({ what, value, wanted, reached }) =>
        `${what}: ${round(value, 2)}; ${wanted}: ${reached ? 'reached' : 'missed'}`,
    ),
    '',
  ].join('\n');
}
