import type { Draft, Format, Message, Step } from './message.js';

/** Runs the steps one after the other and gives the result its format; waits only where a step does. */
export function compose(draft: Draft, steps: readonly Step[], format: Format): Message | Promise<Message> {
  let made = draft;
  for (const [index, step] of steps.entries()) {
    const next = step(made);
    if (next instanceof Promise) return next.then((later) => compose(later, steps.slice(index + 1), format));
    made = next;
  }
  return format(made);
}

/** Marks what nobody is to act on. */
export const markTest: Step = (draft) => ({
  ...draft,
  headers: { ...draft.headers, 'webhook-test': 'true' },
});

/** Leaves the data to be fetched. */
export const thinTo =
  (link: string): Step =>
  (draft) => ({ ...draft, link });

export const withHeaders =
  (headers: Readonly<Record<string, string>>): Step =>
  (draft) => ({ ...draft, headers: { ...draft.headers, ...headers } });
