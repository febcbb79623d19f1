import type { WriteStream } from 'node:tty';

/** What is going on: lines that a terminal redraws in place, and one line for a pipe to collect. */
export interface Live {
  panel(): string[];
  line(): string;
}

const REDRAW_EVERY_MS = 100;
const LINE_EVERY_MS = 2_000;
const BAR_WIDTH = 26;
/** In a narrower terminal the panel would wrap, and could not be redrawn. */
const PANEL_COLUMNS = 80;

/** Writes to a terminal with colour and movement, to a pipe in plain lines. */
export class Screen {
  readonly isTerminal: boolean;
  private readonly coloured: boolean;
  private drawn = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly out: WriteStream) {
    this.isTerminal = out.isTTY;
    this.coloured = out.isTTY && (process.env.NO_COLOR ?? '') === '';
  }

  write(...lines: string[]): void {
    this.out.write(lines.map((line) => `${line}\n`).join(''));
  }

  step(title: string, text: string): void {
    this.write(`  ${this.green('✓')} ${title.padEnd(12)} ${text}`);
  }

  /** Shows `live` until the returned function is called, which shows it one last time. */
  follow(live: Live): () => void {
    const moving = this.isTerminal && this.out.columns >= PANEL_COLUMNS;
    const draw = () => (moving ? this.redraw(live.panel()) : this.write(live.line()));
    if (moving) draw();
    this.timer = setInterval(draw, moving ? REDRAW_EVERY_MS : LINE_EVERY_MS);
    return () => {
      if (this.timer === undefined) return;
      clearInterval(this.timer);
      this.timer = undefined;
      draw();
      this.drawn = 0;
    };
  }

  /** @param share 0 to 1 */
  bar(share: number): string {
    const full = Math.round(Math.min(Math.max(share, 0), 1) * BAR_WIDTH);
    return this.green('█'.repeat(full)) + this.dim('░'.repeat(BAR_WIDTH - full));
  }

  bold = (text: string): string => this.paint('1', text);
  dim = (text: string): string => this.paint('2', text);
  green = (text: string): string => this.paint('32', text);
  red = (text: string): string => this.paint('31', text);

  private redraw(lines: string[]): void {
    const up = this.drawn > 0 ? `\x1b[${this.drawn}A` : '';
    this.out.write(up + lines.map((line) => `\x1b[2K${line}\n`).join(''));
    this.drawn = lines.length;
  }

  private paint(code: string, text: string): string {
    return this.coloured ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
