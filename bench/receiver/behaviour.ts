/**
 * How a group of endpoints, the first part of their path, answers: at once; after 10 s; with a byte a second that never
 * ends; or with 503.
 */
export type Behaviour = 'ok' | 'hang' | 'drip' | 'fail';
