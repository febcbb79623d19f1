/**
 * Whether a system under test is a cluster: two `api` and two `worker` processes over one PostgreSQL and one Temporal
 * of the production kind, as `npm run test:cluster` has it. Otherwise it is one process with both roles: the test's own.
 */
export const isCluster = (): boolean => process.env.POSTHORN_TEST_SHAPE === 'cluster';
