import { MAX_CHARACTERS, MAX_DEPTH, MAX_FAULTS, MAX_PARTS } from './limits.js';

/** What is wrong with a filter, and where: names and places from the filter on. */
export interface Fault {
  path: readonly string[];
  detail: string;
}

class TooLarge extends Error {}

/** A filter on its way from JSON to a tree: what was wrong with it so far, and how much of it there is. */
export class Reading {
  readonly faults: Fault[] = [];
  private parts = 0;
  private characters = 0;

  /** @returns null when there were faults, or it is more than a filter may be */
  run<Result>(read: () => Result): Result | null {
    try {
      const result = read();
      return this.faults.length === 0 ? result : null;
    } catch (error) {
      if (error instanceof TooLarge) return null;
      throw error;
    }
  }

  fault(path: readonly string[], detail: string): void {
    this.faults.push({ path, detail });
    if (this.faults.length >= MAX_FAULTS) throw new TooLarge();
  }

  /** One more part of the filter: stops the reading where it is more than there may be. */
  count(path: readonly string[], characters = 0): void {
    this.parts += 1;
    this.characters += characters;
    if (path.length > MAX_DEPTH) this.stop(path, `must not be nested deeper than ${MAX_DEPTH} levels`);
    if (this.parts > MAX_PARTS) this.stop(path, `the filter must not have more than ${MAX_PARTS} parts`);
    if (this.characters > MAX_CHARACTERS)
      this.stop(path, `the filter must not have more than ${MAX_CHARACTERS} characters`);
  }

  /** Any JSON value that is compared with. */
  operand(path: readonly string[], value: unknown): void {
    this.count(path, typeof value === 'string' ? value.length : 0);
    if (Array.isArray(value))
      value.forEach((element, index) => this.operand([...path, String(index)], element));
    else if (isObject(value)) {
      for (const [name, member] of Object.entries(value)) {
        this.count(path, name.length);
        this.operand([...path, name], member);
      }
    }
  }

  private stop(path: readonly string[], detail: string): never {
    this.faults.push({ path, detail });
    throw new TooLarge();
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 6901. */
export const pointerOf = (path: readonly string[]): string =>
  path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
