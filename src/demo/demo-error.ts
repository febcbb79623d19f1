/** What kept the demo from going on, for the person who runs it, and what they can do. */
export class DemoError extends Error {
  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message);
    this.name = 'DemoError';
  }
}
