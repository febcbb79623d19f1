/**
 * How a group of endpoints, the first part of their path, answers: at once; after 10 s; with a byte a second that never
 * ends; or with 503, but to one in {@link FLAKY_TAKES_ONE_IN} at once: a receiver that only fails is not hurried.
 */
export type Behaviour = 'ok' | 'hang' | 'drip' | 'flaky';

export const FLAKY_TAKES_ONE_IN = 4;
