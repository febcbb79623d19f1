import { setFlagsFromString } from 'node:v8';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTES } from '../workflows/contracts.js';
import { DataFolder } from './config/data-folder.js';
import { givenEncryptionKeys } from './config/encryption-keys.js';
import type { Settings } from './config/settings.js';
import { startEmbedded } from './embedded/index.js';
import { installTemporalRuntime, Posthorn } from './posthorn.js';
import { KeyRing } from './secrets/key-ring.js';
import { loadWorkflowBundle } from './temporal/workflow-bundle.js';

/** Where an embedded system may deliver: to the receivers of the person who tries it out. */
const EMBEDDED_EGRESS = '127.0.0.0/8,::1/128';

/**
 * Full collections of the heap are in everybody's way for a tenth of a second, so there should be few.
 *
 * How far the heap may grow between two of them: V8 lets it triple on a large machine, and what the Temporal SDK leaves behind
 * for each workflow then fills hundreds of MiB. And nothing is taken for long-lived because its like was, which V8 finds even of
 * rows that are read for one attempt: it would stay until the next full collection, with all that it refers to.
 */
const HEAP = ['--heap-growing-percent=100', '--no-allocation-site-pretenuring'];

export interface ServeOptions {
  settings: Settings;
  logger: Logger;
  /** Told what is being done while that takes a while. */
  progress: (line: string) => void;
}

export interface Serving {
  url: string;
  /** Whether this process serves the API; a worker alone answers health and metrics only. */
  api: boolean;
  webUiUrl: string | null;
  /** Null where keys are made by hand; `fresh` when it was made by this start. */
  operatorKey: { key: string; file: string; fresh: boolean } | null;
  /** Where the data is, in words and paths. */
  locations: { label: string; path: string }[];
  /** HTTP is drained, then the worker, then the embedded servers stop. */
  stop(): Promise<void>;
  /** Ends the embedded servers at once, for a second Ctrl-C. */
  kill(): void;
}

/**
 * Starts one process with all it needs: embedded servers where none are configured, then the API and the worker.
 *
 * @throws SettingsError, and whatever keeps a server from starting
 */
export async function serve({ settings, logger, progress }: ServeOptions): Promise<Serving> {
  for (const flag of HEAP) setFlagsFromString(flag);
  const embedded = {
    postgres: settings.DATABASE_URL === undefined,
    temporal: settings.TEMPORAL_ADDRESS === undefined,
  };
  const folder = new DataFolder(settings.DATA_DIR);
  const givenKeys = givenEncryptionKeys(settings);
  installTemporalRuntime(logger);
  const servers = await startEmbedded({
    dataDir: folder.path,
    ...embedded,
    temporalUiPort: settings.TEMPORAL_UI_PORT,
    apiPort: settings.PORT,
    searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword' as const])),
    progress,
  });
  try {
    // Made while the data folder is locked, so that two first starts do not make two.
    const encryptionKeys = givenKeys ?? folder.encryptionKeys(() => KeyRing.generate());
    const operatorKey = embedded.postgres && settings.ROOT_KEY === undefined ? folder.operatorKey() : null;
    const webUiUrl = settings.TEMPORAL_UI_URL ?? servers.temporalUiUrl ?? null;
    const posthorn = await Posthorn.start({
      settings: { ...settings, ROOT_KEY: settings.ROOT_KEY ?? operatorKey?.key },
      logger,
      databaseUrl: settings.DATABASE_URL ?? required(servers.databaseUrl),
      temporalAddress: settings.TEMPORAL_ADDRESS ?? required(servers.temporalAddress),
      webUiUrl,
      encryptionKeys,
      egressAllow: settings.EGRESS_ALLOW ?? (embedded.postgres ? EMBEDDED_EGRESS : ''),
      workflowBundle: await loadWorkflowBundle(),
    });
    const url = `http://${settings.HOST.includes(':') ? `[${settings.HOST}]` : settings.HOST}:${posthorn.port}`;
    if (servers.databaseUrl !== undefined) {
      folder.announce({ apiUrl: url, pid: process.pid, webUiUrl, databaseUrl: servers.databaseUrl });
    }
    return {
      url,
      api: settings.ROLES.includes('api'),
      webUiUrl,
      operatorKey: operatorKey && {
        key: operatorKey.key,
        file: folder.operatorKeyFile,
        fresh: operatorKey.made,
      },
      locations: servers.locations,
      async stop() {
        if (embedded.postgres) folder.withdraw();
        await posthorn.stop();
        await servers.stop();
      },
      kill: () => servers.kill(),
    };
  } catch (error) {
    await servers.stop();
    throw error;
  }
}

function required(value: string | undefined): string {
  if (value === undefined) throw new Error('an embedded server did not say where it is');
  return value;
}
