import { RE2JS } from 're2js';

/** A regular expression that takes time in proportion to the text, whatever it is (automata instead of backtracking). */
export class LinearPattern {
  private readonly compiled: RE2JS;

  /** @throws for what is no pattern, and for look-around and back-references, which need backtracking */
  constructor(private readonly pattern: string) {
    this.compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
  }

  /** Whether any part of the text matches (JSON Schema 2020-12 Core §6.4: patterns are not anchored). */
  test(text: string): boolean {
    return this.compiled.matcher(text).find();
  }

  /** Ajv tells patterns apart by this. */
  toString(): string {
    return `/${this.pattern}/`;
  }
}
