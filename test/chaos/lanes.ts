/** The lanes that the suite goes through, as `POSTHORN_LANE` names them. */
export const LANES = ['durable', 'express', 'auto'];
