import { Problem } from '../common/problems.js';
import { checkDestination } from '../transport/egress-check.js';
import type { Settings } from '../config/settings.js';
import { namesAreTheProxys } from '../transport/egress-proxy.js';
import type { EgressNetworks } from '../transport/egress-networks.js';
import type { UpdateEndpointBody } from './endpoints.schema.js';

/**
 * Whether requests may go to each URL that an endpoint is given.
 *
 * @throws Problem `endpoint_url_refused` pointing at the one that is refused
 */
export async function checkUrls(
  { url, auth }: Pick<UpdateEndpointBody, 'url' | 'auth'>,
  networks: EgressNetworks,
  settings: Settings,
): Promise<void> {
  const lookup = namesAreTheProxys(settings) ? null : undefined;
  if (url !== undefined) await checkUrl(url, '/url', networks, lookup);
  if (auth?.type === 'oauth2') await checkUrl(auth.tokenUrl, '/auth/tokenUrl', networks, lookup);
}

async function checkUrl(
  url: string,
  pointer: string,
  networks: EgressNetworks,
  lookup: null | undefined,
): Promise<void> {
  const checked = await checkDestination(url, networks, lookup);
  if (checked.ok) return;
  const errors = [{ pointer, detail: `${checked.detail} (${checked.code})` }];
  throw new Problem('endpoint_url_refused', checked.detail, { errors });
}
