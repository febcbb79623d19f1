/** Injects the networks that deliveries may reach beyond the public ones. */
export const EGRESS = Symbol('egress networks');
