/** The urgency of a delivery, most urgent first. */
export const PRIORITIES = ['critical', 'high', 'normal', 'low'] as const;

export type Priority = (typeof PRIORITIES)[number];

/** As rows and Temporal's task queues have it: 1 is the most urgent. */
export type PriorityLevel = 1 | 2 | 3 | 4;

const LEVELS = { critical: 1, high: 2, normal: 3, low: 4 } as const satisfies Record<Priority, PriorityLevel>;

export const priorityLevel = (priority: Priority): PriorityLevel => LEVELS[priority];

/** @param level of a row; one that no priority has counts as the nearest */
export function priorityOf(level: number): Priority {
  return PRIORITIES[Math.min(Math.max(level, 1), PRIORITIES.length) - 1] ?? 'normal';
}
