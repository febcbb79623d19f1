import { setUp } from './setup.mjs';

await setUp();
process.setSourceMapsEnabled(true);
await import('../dist/test/chaos/main.js');
