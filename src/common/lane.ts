/** Ways a delivery may run; see POSTHORN_LANE. */
export const LANES = ['durable', 'express', 'auto'] as const;

export type LaneName = (typeof LANES)[number];
