import type { CredentialExpiry } from '../src/credentials/credential-expiry.js';
import type { EndpointHealthService } from '../src/endpoint-health/endpoint-health.service.js';
import type { EndpointVerificationService } from '../src/verification/endpoint-verification.service.js';
import type { EndpointWatchActivities } from '../workflows/contracts.js';

/** Idempotent: a look that was taken already finds nothing to do, and a receiver may be asked twice. */
export const createEndpointWatchActivities = (
  health: EndpointHealthService,
  verification: EndpointVerificationService,
  expiry: CredentialExpiry,
): EndpointWatchActivities => ({
  reviewEndpoint: ({ endpointId }) => health.reviewById(endpointId),
  verifyEndpoint: ({ endpointId }) => verification.tryById(endpointId),
  tendCredentials: ({ endpointId }) => expiry.tendById(endpointId),
});
