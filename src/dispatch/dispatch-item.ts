import type { DeliveryRef } from './delivery-starter.js';

/** A delivery whose first attempt is still to be made. */
export interface DispatchItem extends DeliveryRef {
  /** True when no workflow was ever started for it, and the record says so. */
  express: boolean;
  /** True when it may be made so: its lane is left open, and it was never in anybody else's hands. */
  auto: boolean;
  /** True for one that waits behind nothing of its endpoint. */
  ahead?: boolean;
  /** How often its first attempt was put off because connections of our own crowded its host; absent for never. */
  crowdedOut?: number;
}
