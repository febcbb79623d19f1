import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbedded } from '../src/embedded/index.js';
import { SEARCH_ATTRIBUTES } from '../workflows/contracts.js';

/** What both sides run on. */
export interface Servers {
  databaseUrl: string;
  temporalAddress: string;
  namespace: string;
  /** In words, for the report. */
  kind: string;
  close(): Promise<void>;
}

/** The servers that the environment names, and embedded ones in a temporary folder for those it does not. */
export async function openServers(
  env: NodeJS.ProcessEnv,
  progress: (line: string) => void,
): Promise<Servers> {
  const databaseUrl = env.POSTHORN_DATABASE_URL;
  const temporalAddress = env.POSTHORN_TEMPORAL_ADDRESS;
  const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-bench-'));
  // The embedded PostgreSQL may run as another user, who must get through.
  await chmod(dataDir, 0o755);
  const embedded = await startEmbedded({
    dataDir,
    postgres: databaseUrl === undefined,
    temporal: temporalAddress === undefined,
    temporalUiPort: undefined,
    searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword' as const])),
    progress,
  });
  return {
    databaseUrl: databaseUrl ?? embedded.databaseUrl ?? '',
    temporalAddress: temporalAddress ?? embedded.temporalAddress ?? '',
    namespace: env.POSTHORN_TEMPORAL_NAMESPACE ?? 'default',
    kind: `PostgreSQL ${databaseUrl === undefined ? 'embedded' : 'given'}, Temporal ${temporalAddress === undefined ? 'embedded' : 'given'}`,
    async close() {
      await embedded.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
