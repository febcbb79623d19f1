import type { Refusal } from './codes.js';
import type { EgressNetworks } from './egress-networks.js';
import { TransportFault } from './failures.js';
import { resolveName, systemLookup } from './resolve.js';
import type { Lookup, Resolution } from './resolve.js';
import { checkUrl } from './url-rules.js';
import { within } from './within.js';

/** How long a caller of the API waits for a name server, in milliseconds. */
const LOOKUP_MS = 3000;

/**
 * Whether an endpoint may have this URL, told when it is created or changed; each attempt checks again for itself.
 *
 * A name that cannot be looked up (yet) is no refusal: customers register endpoints before they set up DNS, and a name
 * server that is down now may be back when the first event comes.
 *
 * @param lookup null where names are the egress proxy's to resolve: those that it will be sent are taken as they are
 * @returns the URL as it will be requested, or the refusal.
 */
export async function checkDestination(
  text: string,
  allow: EgressNetworks,
  lookup: Lookup | null = systemLookup(allow),
): Promise<{ ok: true; url: string } | Refusal> {
  const checked = checkUrl(text, allow);
  if (!checked.ok) return checked;
  const { url, address, onlyAllowedNetworks } = checked;
  const asked = lookup ?? (onlyAllowedNetworks ? systemLookup(allow) : null);
  if (address === null && asked !== null) {
    const looked = resolveName(url.hostname, onlyAllowedNetworks, allow, asked).catch(unlessOurs);
    const resolution = await within(LOOKUP_MS, looked);
    if (resolution !== null && resolution !== 'late' && !resolution.ok && isRefusal(resolution))
      return resolution;
  }
  return { ok: true, url: url.href };
}

/** Each attempt asks again. */
function unlessOurs(error: unknown): null {
  if (error instanceof TransportFault) return null;
  throw error;
}

function isRefusal(resolution: Exclude<Resolution, { ok: true }>): resolution is Refusal {
  return resolution.code !== 'dns_not_found' && resolution.code !== 'dns_failed';
}
