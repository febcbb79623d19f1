import { parentPort } from 'node:worker_threads';
import { steadyMs } from '../common/steady-clock.js';
import { celEvent, type CelProgram, compileCel } from './cel.js';
import { CelProgress, type CelReply, type CelRequest, FAILED, MET, UNMET } from './cel-protocol.js';

const MAX_PROGRAMS = 20_000;
const programs = new Map<string, CelProgram>();

function programOf(source: string): CelProgram {
  let program = programs.get(source);
  if (!program) {
    program = compileCel(source);
    if (programs.size >= MAX_PROGRAMS) programs.clear();
    programs.set(source, program);
  }
  return program;
}

// What is run for the first time takes as long as all of the budget.
const WARM_UP = 'event.tags.exists(tag, tag.startsWith("a")) || has(event.data.a) && event.data.a.b > 1';
for (let run = 0; run < 200; run += 1)
  compileCel(WARM_UP)(celEvent({ data: { a: { b: run } }, tags: ['b'] }));

parentPort?.on('message', ({ event: text, sources, progress: buffer }: CelRequest) => {
  const progress = new CelProgress(buffer);
  progress.receive(steadyMs());
  const event = celEvent(JSON.parse(text) as object);
  const errors: CelReply['errors'] = {};
  for (const [index, source] of sources.entries()) {
    progress.begin(steadyMs());
    try {
      progress.end(index, programOf(source)(event) ? MET : UNMET);
    } catch (error) {
      errors[index] = (error as { summary?: string }).summary ?? (error as Error).message;
      progress.end(index, FAILED);
    }
  }
  parentPort?.postMessage({ errors } satisfies CelReply);
});
