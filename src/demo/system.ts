import { DataFolder } from '../config/data-folder.js';
import { readSettings } from '../config/settings.js';
import { createLogger } from '../logging/logger.js';
import { serve } from '../serve.js';
import { sayProgress, settleProgress } from '../terminal.js';
import { DemoError } from './demo-error.js';

/** The Posthorn that the demo talks to. */
export interface System {
  url: string;
  operatorKey: string;
  /** Present when it was started for this demo and is to be stopped with it. */
  own?: { stop(): Promise<void>; kill(): void };
}

const HEALTHY_WITHIN_MS = 3_000;
const LOOPBACK = '127.0.0.0/8,::1/128';

/**
 * Finds the running system: the one at `POSTHORN_URL`, or the one that runs from the data folder. Where there is none,
 * starts one on that folder.
 */
export async function findOrStartSystem(env: NodeJS.ProcessEnv): Promise<System> {
  const settings = readSettings(env);
  const folder = new DataFolder(settings.DATA_DIR);
  const givenUrl = env.POSTHORN_URL?.replace(/\/+$/, '');
  const url = givenUrl ?? folder.running()?.apiUrl;
  if (url !== undefined && (await isHealthy(url))) {
    const operatorKey = settings.ROOT_KEY ?? folder.readOperatorKey();
    if (operatorKey === null)
      throw new DemoError(
        `Posthorn runs at ${url}, but there is no key for it.`,
        'Set POSTHORN_ROOT_KEY to an operator key of this system.',
      );
    return { url, operatorKey };
  }
  if (givenUrl !== undefined)
    throw new DemoError(
      `Nothing answers at ${givenUrl}.`,
      'Correct POSTHORN_URL, or unset it: then the demo starts Posthorn.',
    );

  const logger = createLogger(env.POSTHORN_LOG_LEVEL === undefined ? 'error' : settings.LOG_LEVEL);
  const serving = await serve({
    // The demo's receivers are on loopback, whatever database this runs on.
    settings: { ...settings, EGRESS_ALLOW: settings.EGRESS_ALLOW ?? LOOPBACK },
    logger,
    progress: sayProgress,
  });
  settleProgress();
  const operatorKey = settings.ROOT_KEY ?? serving.operatorKey?.key;
  if (operatorKey === undefined) {
    await serving.stop();
    throw new DemoError(
      'There is no operator key to make an account with.',
      'Set POSTHORN_ROOT_KEY, for example to phk_ and 30 letters of your own.',
    );
  }
  return {
    url: serving.url,
    operatorKey,
    own: { stop: () => serving.stop(), kill: () => serving.kill() },
  };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(HEALTHY_WITHIN_MS) });
    return response.ok;
  } catch {
    return false;
  }
}
