import { setUp } from './setup.mjs';

await setUp();
process.setSourceMapsEnabled(true);
const { run } = await import('../dist/src/cli.js');
await run(process.argv.slice(2));
