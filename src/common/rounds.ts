/** Looks for work every so often, and at once when somebody says that there is some; never twice at a time. */
export class Rounds {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  private beganAtMs = -Infinity;
  private isClosed = true;

  /**
   * @param look one round; it never rejects, and looks at {@link closed} where it takes long
   * @param apartMs between the beginnings of two rounds at least, however often somebody says that there is work
   */
  constructor(
    private readonly look: () => Promise<void>,
    private readonly everyMs: number,
    private readonly apartMs = 0,
  ) {}

  get closed(): boolean {
    return this.isClosed;
  }

  /** @param soon whether the first round begins now, and not with the first {@link nudge} */
  open(soon = true): void {
    this.isClosed = false;
    this.again = false;
    if (soon) this.nudge();
  }

  /** Resolves when the round that is under way has ended. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** There is work. */
  nudge(): void {
    if (this.isClosed || this.again) return;
    this.again = true;
    if (!this.running) this.schedule(this.apart());
  }

  private apart(): number {
    return Math.max(0, this.beganAtMs + this.apartMs - performance.now());
  }

  private schedule(inMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.again = false;
      this.beganAtMs = performance.now();
      this.running = this.look().finally(() => {
        this.running = undefined;
        if (!this.isClosed) this.schedule(this.again ? this.apart() : this.everyMs);
      });
    }, inMs);
  }
}
