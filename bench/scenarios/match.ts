import type { FilteredEvent } from '../../src/filters/condition.js';
import { compile } from '../../src/filters/compile.js';
import { FilterIndex } from '../../src/filters/filter-index.js';
import { readFilter } from '../../src/filters/read-filter.js';
import type { Bench, World } from '../bench.js';
import { nowMs } from '../clock.js';
import { atMost, cell, type Report } from '../report.js';
import { median, percentile, round } from '../statistics.js';

const EVENTS = 200;
const WARM_UP = 50;
/** Every filter lets an event through whose number it asks for, so that few match. */
const GROUPS = 1_000;

interface Measured {
  what: string;
  p50: number;
  p99: number;
}

/** One event for an account with very many filtered endpoints: what asking the filters takes, and the publish as a whole. */
export async function match(bench: Bench): Promise<Report> {
  const { endpoints } = bench.options;
  bench.progress(`asking ${endpoints} filters`);
  const asking = askFilters(endpoints);
  const publishing = await bench.inWorld((world) => publish(bench, world));
  return {
    columns: ['one event', 'endpoints', 'p50 ms', 'p99 ms'],
    rows: [asking, ...publishing].map(({ what, p50, p99 }) => [
      what,
      String(endpoints),
      cell(p50, 2),
      cell(p99, 2),
    ]),
    notes: [
      'Every endpoint has a filter of its own on the data, and takes every type; ten of them match.',
      'Behind it the publish through HTTP, one after the other, from the request to its answer.',
    ],
    targets: [atMost('asking the filters', asking.p50, 10, ' ms')],
    figures: [asking, ...publishing],
  };
}

const filterOf = (index: number) => ({
  data: { account: { group: index % GROUPS }, amount: { $gt: 10 }, state: { $in: ['paid', 'sent'] } },
});
const dataOf = (index: number) => ({
  account: { group: index % GROUPS, name: 'x'.repeat(100) },
  amount: 100,
  state: 'paid',
});

/** What a publish asks of the filters, without the database. */
function askFilters(count: number): Measured {
  const endpoints = Array.from({ length: count }, (_, slot) => {
    const read = readFilter(filterOf(slot));
    if ('faults' in read || !read.filter.condition) throw new Error('the filter cannot be read');
    return {
      id: String(slot),
      slot,
      eventTypes: null,
      filter: read.filter,
      asks: compile(read.filter.condition),
    };
  });
  const index = new FilterIndex(endpoints);
  const tookMs: number[] = [];
  for (let number = 0; number < EVENTS; number += 1) {
    const text = JSON.stringify(dataOf(number));
    const startedAt = nowMs();
    const event: FilteredEvent = { type: 'bench.match', data: JSON.parse(text), tags: [], priority: null };
    const matched = index.candidates(event.type).filter(({ asks }) => asks(event));
    tookMs.push(nowMs() - startedAt);
    if (matched.length !== Math.ceil((count - (number % GROUPS)) / GROUPS))
      throw new Error(`${matched.length} filters match`);
  }
  return summary('asking the filters', tookMs.slice(WARM_UP));
}

async function publish({ options, progress }: Bench, world: World): Promise<Measured[]> {
  const posthorn = await world.openPosthorn('express');
  const open = async (filtered: boolean) => {
    const accountId = await posthorn.createAccount('bench');
    progress(`making ${options.endpoints} endpoints ${filtered ? 'with filters' : 'of another type'}`);
    await Promise.all(
      Array.from({ length: options.endpoints }, (_, index) =>
        posthorn.createEndpoint(accountId, {
          url: `${world.receiver.origin}/match/${index}`,
          paused: true,
          // Both have ten that match: what differs is what decides that.
          ...(filtered ? { filter: filterOf(index) } : { eventTypes: [`bench.${index % GROUPS}`] }),
        }),
      ),
    );
    return accountId;
  };
  const measured: Measured[] = [];
  for (const filtered of [true, false]) {
    const accountId = await open(filtered);
    const tookMs: number[] = [];
    for (let number = 0; number < EVENTS; number += 1) {
      const startedAt = nowMs();
      const type = filtered ? 'bench.match' : `bench.${number % GROUPS}`;
      await posthorn.publish(accountId, { payloadBytes: options.payloadBytes, type, data: dataOf(number) });
      tookMs.push(nowMs() - startedAt);
    }
    const what = filtered ? 'publishing, by filters' : 'publishing, by types alone';
    measured.push(summary(what, tookMs.slice(WARM_UP)));
  }
  return measured;
}

function summary(what: string, tookMs: number[]): Measured {
  return { what, p50: round(median(tookMs), 2), p99: round(percentile(tookMs, 0.99), 2) };
}
