/** Conditions of a WHERE that depend on what is asked, joined by AND; `?` stands for the value beside it. */
export class Conditions {
  private readonly parts: string[] = [];
  readonly values: unknown[] = [];

  constructor(part: string, value?: unknown) {
    this.and(part, value);
  }

  and(part: string, value?: unknown): void {
    if (value === undefined) {
      this.parts.push(part);
      return;
    }
    this.values.push(value);
    this.parts.push(part.replace('?', `$${this.values.length}`));
  }

  get text(): string {
    return this.parts.join(' AND ');
  }
}
