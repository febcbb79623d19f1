/**
 * Finds the text of `data` in the body of a publish. What a publisher sends as data is delivered byte for byte:
 * parsing and printing it again would round large numbers, drop duplicate keys and change spellings.
 *
 * All take text that JSON.parse has accepted, and none recurses, so depth costs nothing.
 */

/** @returns the text of the object's last `data` member (the one JSON.parse keeps), or undefined */
export function rawData(body: string): string | undefined {
  let found: string | undefined;
  for (const member of members(body, skipSpace(body, 0))) {
    if (member.key === 'data') found = body.slice(member.start, member.end);
  }
  return found;
}

/** @returns the text of `data` of the body's last `event` member, or undefined */
export function rawEventData(body: string): string | undefined {
  let event: string | undefined;
  for (const member of members(body, skipSpace(body, 0))) {
    if (member.key === 'event') event = body.slice(member.start, member.end);
  }
  return event === undefined ? undefined : rawData(event);
}

/** @returns the text of `data` of each element of the body's last `events` member, in order */
export function rawBatchData(body: string): (string | undefined)[] {
  let events = -1;
  for (const member of members(body, skipSpace(body, 0))) {
    if (member.key === 'events') events = member.start;
  }
  return events < 0 ? [] : dataOfItems(body, events);
}

/** @returns the text of `data` of each element of a body that is an array, in order */
export const rawArrayData = (body: string): (string | undefined)[] => dataOfItems(body, skipSpace(body, 0));

function dataOfItems(body: string, open: number): (string | undefined)[] {
  const found: (string | undefined)[] = [];
  if (body[open] !== '[') return found;
  let at = skipSpace(body, open + 1);
  while (at < body.length && body[at] !== ']') {
    const end = skipValue(body, at);
    found.push(rawData(body.slice(at, end)));
    at = skipSpace(body, end);
    if (body[at] === ',') at = skipSpace(body, at + 1);
  }
  return found;
}

interface Member {
  key: string;
  start: number;
  end: number;
}

function* members(text: string, open: number): Generator<Member> {
  if (text[open] !== '{') return;
  let at = skipSpace(text, open + 1);
  while (at < text.length && text[at] !== '}') {
    const keyEnd = skipValue(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = skipValue(text, start);
    yield { key, start, end };
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1;
  return at;
}

function skipValue(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return skipString(text, from);
  if (first !== '{' && first !== '[') {
    const rest = /[,\]}\s]|$/g;
    rest.lastIndex = from;
    return rest.exec(text)?.index ?? text.length;
  }
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const letter = text[at];
    if (letter === '"') {
      at = skipString(text, at);
      continue;
    }
    if (letter === '{' || letter === '[') depth += 1;
    if (letter === '}' || letter === ']') depth -= 1;
    at += 1;
    if (depth === 0) return at;
  }
  return at;
}

function skipString(text: string, from: number): number {
  let end = text.indexOf('"', from + 1);
  while (end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end + 1;
}

/** Whether the letter belongs to an escape (RFC 8259 §7): an odd number of backslashes stands before it. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}
