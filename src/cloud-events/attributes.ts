/** Extension attributes of our own: names of lower-case letters alone, values of the type String (CloudEvents 1.0.2 §3.1, §3.1.1). */
export const EXTENSIONS = {
  version: 'posthornversion',
  tags: 'posthorntags',
  priority: 'posthornpriority',
  context: 'posthorncontext',
} as const;

// CloudEvents 1.0.2 §3.1: a String has no control characters, and none that are no characters.
const NO_STRING = /[\p{Cc}\p{Noncharacter_Code_Point}]/gu;

/** A text without what the type String of CloudEvents may not hold. */
export const toStringAttribute = (text: string): string => text.replace(NO_STRING, '');

/** JSON as such a text: what it may not hold is white space between values, or within a string, where it has another spelling. */
export const toJsonAttribute = (json: string): string =>
  json
    .replace(/[\t\n\r]/g, '')
    .replace(NO_STRING, (letter) =>
      Array.from({ length: letter.length }, (_, index) => escaped(letter.charCodeAt(index))).join(''),
    );

const escaped = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`;

/** There is no type for lists: tags are one text, with commas between them and `\` before a comma or `\` that is part of one. */
export const joinTags = (tags: readonly string[]): string =>
  tags.map((tag) => tag.replace(/[\\,]/g, '\\$&')).join(',');

/** Reads such a text; spaces around tags and empty tags are left out. */
export function splitTags(text: string): string[] {
  const tags: string[] = [];
  let tag = '';
  for (const [part, escaped] of text.matchAll(/\\([\\,])|[^]/gu)) {
    if (part === ',') {
      tags.push(tag);
      tag = '';
    } else {
      tag += escaped ?? part;
    }
  }
  return [...tags, tag].map((each) => each.trim()).filter((each) => each !== '');
}
