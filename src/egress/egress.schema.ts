import { z } from 'zod';
import { time } from '../common/schemas.js';

/** Not checked to be an id: of what is none there are no keys, as of an endpoint that does not exist. */
export const egressQuery = z.strictObject({
  endpoint: z.string().max(200).optional().describe('`ep_…`, to learn the public keys of its signatures'),
});
export type EgressQuery = z.output<typeof egressQuery>;

const publicKey = z
  .strictObject({
    publicKey: z.string().describe('`whpk_…`, verifies `v1a` signatures'),
    expiresAt: time.nullable().describe('When a rotated one stops signing; null for the current one.'),
  })
  .meta({ id: 'PublicKey' });

export const egressShown = z
  .strictObject({
    addresses: z
      .array(z.string())
      .describe('Networks (CIDR) that deliveries come from; empty where the operator has published none.'),
    publicKeys: z
      .array(publicKey)
      .describe(
        'Keys that sign for the `endpoint` asked for, the newest first; empty when none is asked for.',
      ),
  })
  .meta({ id: 'Egress' });
export type EgressShown = z.output<typeof egressShown>;
