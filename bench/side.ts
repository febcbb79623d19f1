import type { Begun } from './load.js';

/** One of the two that are measured against each other. Deliveries arrive at the receiver they were opened with. */
export interface Side {
  /** Process number of what is measured. */
  readonly pid: number;
  flood(events: number, publishers: number): Promise<Begun>;
  pace(events: number, perSecond: number): Promise<Begun>;
  close(): Promise<void>;
}
