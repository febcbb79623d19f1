import type { Settings } from '../config/settings.js';
import type { PlanLimits } from '../plans/plans.schema.js';
import type { HealthPolicy } from './health-machine.js';

/** Deliveries that must have failed for a circuit to open: fewer may be the fault of their events. */
export const CIRCUIT_DELIVERIES = 10;

type Thresholds = Pick<
  PlanLimits,
  'failingSeconds' | 'disableSeconds' | 'circuitFailures' | 'circuitProbeSeconds' | 'reenableProbeSeconds'
>;

export interface EndpointPolicy extends HealthPolicy {
  /** Milliseconds between pings to an endpoint that was disabled for failing; 0 for none. */
  reenableProbeMs: number;
}

/** The settings, but for what the account's plan says. */
export const healthPolicyOf = (settings: Settings, plan: Thresholds): EndpointPolicy => ({
  failingAfterMs: (plan.failingSeconds ?? settings.HEALTH_FAILING_SECONDS) * 1000,
  disableAfterMs: (plan.disableSeconds ?? settings.HEALTH_DISABLE_SECONDS) * 1000,
  probeEveryMs: (plan.circuitProbeSeconds ?? settings.CIRCUIT_PROBE_SECONDS) * 1000,
  circuitAfterMs: settings.CIRCUIT_SECONDS * 1000,
  circuitFailures: plan.circuitFailures ?? settings.CIRCUIT_FAILURES,
  circuitDeliveries: CIRCUIT_DELIVERIES,
  reenableProbeMs: (plan.reenableProbeSeconds ?? settings.REENABLE_PROBE_SECONDS) * 1000,
});
