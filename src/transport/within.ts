import { deadline } from './deadline.js';

/** The result of some work, or 'late' after so many milliseconds; the work then goes on unheeded. */
export async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T | 'late'> {
  let inTime: () => void = () => undefined;
  const late = new Promise<'late'>((resolve) => {
    inTime = deadline(timeoutMs, () => resolve('late'));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    inTime();
  }
}
