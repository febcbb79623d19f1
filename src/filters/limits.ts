/** What a filter may be: whatever is within these is evaluated for every event in microseconds. */

/** Levels of objects and lists in one another, operands included. */
export const MAX_DEPTH = 16;
/** Conditions and operands, every element of a list counted. */
export const MAX_PARTS = 500;
/** Characters of all names and operands together. */
export const MAX_CHARACTERS = 16_384;
/** Characters of a CEL expression. */
export const MAX_CEL_CHARACTERS = 2_000;
/** What evaluating one filter for one event may cost: one for each comparison, element and member looked at. */
export const MAX_COST = 20_000;
/** What is wrong with a filter is told up to here. */
export const MAX_FAULTS = 20;
