/** One receiver of the demo, as a customer might run it. */
export interface Role {
  name: string;
  /** How it answers, in words. */
  answers: string;
  /** The status that an event's nth attempt is answered with. */
  answer: (attempt: number) => number;
}

export const CAST = {
  healthy: { name: 'healthy', answers: '200 to everything', answer: () => 200 },
  failing: {
    name: 'failing twice',
    answers: '503, 503, then 200, for each event',
    answer: (attempt) => (attempt <= 2 ? 503 : 200),
  },
  gone: { name: 'gone', answers: '410 Gone to everything', answer: () => 410 },
} as const satisfies Record<string, Role>;

/** Seconds after each failed attempt: a demo has no days. */
export const RETRY_SCHEDULE = [1, 2, 4, 8];
