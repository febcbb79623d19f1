import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);

export default async function globalSetup() {
  const { startTestServers } = await import('./test-servers.ts');
  await startTestServers();
}
