export interface Resource {
  close(): Promise<void>;
}

/** What was opened, to be closed in the opposite order. */
export class Resources {
  private readonly opened: Resource[] = [];
  private closed = false;

  keep<T extends Resource>(resource: T): T {
    if (this.closed) {
      void resource.close();
      throw new Error('interrupted');
    }
    this.opened.push(resource);
    return resource;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const resource of this.opened.splice(0).reverse()) await resource.close();
  }
}
