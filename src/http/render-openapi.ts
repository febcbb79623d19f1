import { createApp } from '../posthorn.js';
import { readSettings } from '../config/settings.js';
import { Database } from '../database/database.js';
import { createLogger } from '../logging/logger.js';
import { KeyRing } from '../secrets/key-ring.js';
import { Temporal } from '../temporal/temporal.js';
import { PUBLIC_ONLY } from '../transport/egress-networks.js';
import { describeApi } from './openapi.js';

/** openapi.json as text. Nothing is connected: the document needs the application's shape alone. */
export async function renderOpenApi(): Promise<string> {
  const settings = readSettings({});
  const logger = createLogger('error');
  const app = await createApp({
    settings,
    logger,
    database: new Database('postgres://unused', 2),
    temporal: new Temporal(settings, 'unused:1', logger),
    keyRing: new KeyRing(KeyRing.generate()),
    networks: PUBLIC_ONLY,
    webUiUrl: null,
  });
  const document = describeApi(app);
  await app.close();
  return `${JSON.stringify(document, null, 2)}\n`;
}
