import type { Bench, World } from '../bench.js';
import type { Lane, Posthorn } from '../posthorn.js';
import { cell, type Report } from '../report.js';
import { median, ratios, round } from '../statistics.js';
import type { Side } from '../sides.js';
import type { PutTransformationBody } from '../../src/transformations/transformations.schema.js';
import { flooded } from './throughput.js';

const WARM_UP = 300;
const NAMES = ['none', 'declarative', 'javascript'] as const;
type ProgramName = (typeof NAMES)[number];

const PROGRAMS: Record<ProgramName, PutTransformationBody | null> = {
  none: null,
  declarative: {
    kind: 'declarative',
    spec: {
      omit: ['data.card'],
      set: [{ path: 'by', value: 'bench' }],
      headers: { 'x-type': '{{ event.type }}' },
    },
    enabled: true,
  },
  javascript: {
    kind: 'javascript',
    code: `const transform = (event) => ({ body: { ...event, by: 'bench' }, headers: { 'x-type': event.type } });`,
    enabled: true,
  },
};

interface Measured {
  lane: Lane;
  program: ProgramName;
  perSec: number;
  slicesPerSec: number[];
  /** Of what arrives without a transformation, in the same turn; the median of turns. */
  share: number;
}

/** What a transformation takes from the deliveries of a second: none, declarative and JavaScript in turns. */
export async function transform(bench: Bench): Promise<Report> {
  const measured: Measured[] = [];
  for (const lane of bench.options.lanes)
    measured.push(...(await bench.inWorld((world) => measure(bench, world, lane))));
  return report(measured);
}

async function measure(bench: Bench, world: World, lane: Lane): Promise<Measured[]> {
  const { slices, events } = bench.options;
  const posthorn = await world.openPosthorn(lane);
  const perSlice = Math.ceil(events / slices);
  const sides = await Promise.all(
    NAMES.map(async (name) => ({
      name,
      slices: [] as number[],
      ...(await sideOf(bench, world, posthorn, name)),
    })),
  );
  for (const side of sides) {
    bench.progress(`${lane}: warming up ${side.name}`);
    await flooded(world, side, WARM_UP);
  }
  for (let turn = 1; turn <= slices; turn += 1) {
    for (const side of sides) {
      const perSec = await flooded(world, side, perSlice);
      side.slices.push(round(perSec, 1));
      bench.progress(`${lane}, slice ${turn}/${slices}: ${side.name} ${perSec.toFixed(1)}/s`);
    }
  }
  const base = sides.find(({ name }) => name === 'none')?.slices ?? [];
  return sides.map((side) => ({
    lane,
    program: side.name,
    perSec: median(side.slices),
    slicesPerSec: side.slices,
    share: median(ratios(side.slices, base)),
  }));
}

async function sideOf(
  { options }: Bench,
  { generator, receiver }: World,
  posthorn: Posthorn,
  name: ProgramName,
): Promise<Pick<Side, 'flood'>> {
  const accountId = await posthorn.createAccount(name);
  const endpointId = await posthorn.createEndpoint(accountId, { url: `${receiver.origin}/${name}` });
  const program = PROGRAMS[name];
  if (program) await posthorn.putTransformation(accountId, endpointId, program);
  const target = posthorn.events(accountId, options);
  return { flood: (events) => generator.flood(target, events, options.publishers) };
}

function report(measured: Measured[]): Report {
  return {
    columns: ['transformation', 'deliveries/s', 'of none'],
    rows: measured.map(({ lane, program, perSec, share }) => [
      `${lane}, ${program}`,
      cell(perSec),
      cell(share, 2),
    ]),
    notes: ['Medians of slices, which take turns; one account and one endpoint each.'],
    targets: [],
    figures: measured,
  };
}
