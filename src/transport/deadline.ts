/**
 * Calls `late` after so many milliseconds, and not before what has come by then was heard: where this process has stood still,
 * the other side is not to blame.
 *
 * @returns to be called once nothing is late any more
 */
export function deadline(ms: number, late: () => void): () => void {
  let heard: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    heard = setImmediate(late);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(heard);
  };
}
