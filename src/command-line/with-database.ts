import { DataFolder } from '../config/data-folder.js';
import type { Settings } from '../config/settings.js';
import { Database } from '../database/database.js';
import { startEmbedded } from '../embedded/index.js';
import { sayProgress } from '../terminal.js';
import { settingsOf } from './settings-of.js';

/** Uses the database of the settings, the one that runs embedded here, or starts the embedded one for the moment. */
export async function withDatabase(
  use: (database: Database, settings: Settings) => Promise<void>,
): Promise<void> {
  const settings = settingsOf();
  const folder = new DataFolder(settings.DATA_DIR);
  const running = settings.DATABASE_URL === undefined ? folder.running()?.databaseUrl : undefined;
  const url = settings.DATABASE_URL ?? running;
  const servers =
    url === undefined
      ? await startEmbedded({
          dataDir: folder.path,
          postgres: true,
          temporal: false,
          temporalUiPort: undefined,
          searchAttributes: {},
          progress: sayProgress,
        })
      : null;
  const database = new Database(url ?? servers?.databaseUrl ?? '', 2);
  try {
    await database.open();
    await database.migrate();
    await use(database, settings);
  } finally {
    await database.close();
    await servers?.stop();
  }
}
