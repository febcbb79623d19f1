// Holds embedded servers in a process of its own, to be killed by tests.
import { register } from 'node:module';

register('../setup/typescript-hooks.mjs', import.meta.url);
const { startEmbedded } = await import('../../src/embedded/index.ts');

const [dataDir, which] = process.argv.slice(2);
const servers = await startEmbedded({
  dataDir,
  postgres: which !== 'temporal',
  temporal: which !== 'postgres',
  temporalUiPort: undefined,
  searchAttributes: { Colour: 'Keyword' },
  progress: () => undefined,
});
process.stdout.write(`${JSON.stringify({ ...servers, pids: servers.pids() })}\n`);
setInterval(() => undefined, 60_000);
