import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTemporalServer } from '../../scripts/cluster/temporal-server.js';
import { startEmbedded } from '../../src/embedded/index.js';
import { freePort } from '../../src/embedded/ports.js';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';
import { testServers } from './servers.js';
import { isCluster } from './shape.js';

const progress = () => undefined;

export interface OwnTemporal {
  address: string;
  /** Ends it and deletes its database. */
  remove: () => Promise<void>;
}

/** A new, empty Temporal that a test may delete, of the kind that the run has: embedded, or that of production. */
export async function startOwnTemporal(): Promise<OwnTemporal> {
  const folder = await mkdtemp(join(tmpdir(), 'posthorn-temporal-'));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  if (isCluster()) {
    const postgresUrl = testServers().databaseUrl;
    const { address, remove } = await startTemporalServer({
      folder,
      postgresUrl,
      historyShards: 4,
      progress,
    });
    return { address, remove: () => remove().then(removeFolder) };
  }
  const server = await startEmbedded({
    dataDir: folder,
    postgres: false,
    temporal: true,
    temporalUiPort: await freePort(),
    searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword'])),
    progress,
  });
  return { address: server.temporalAddress ?? '', remove: () => server.stop().then(removeFolder) };
}
