import { type ScheduleName, SCHEDULES } from '../../workflows/schedule.js';

/** A named schedule, or seconds to wait after each failed attempt. */
export type RetrySchedule = ScheduleName | number[];

export const delaysOf = (schedule: RetrySchedule): readonly number[] =>
  typeof schedule === 'string' ? SCHEDULES[schedule] : schedule;
