import type { ServerResponse } from 'node:http';
import type { Answering } from './receiver.js';

/** Keeps a receiver's answers back until the test lets them go. */
export class Gate {
  /** The most requests that were open at once. */
  most = 0;
  private readonly waiting: ServerResponse[] = [];
  private isOpen = false;

  readonly answer: Answering = (response) => {
    if (this.isOpen) {
      response.end();
      return;
    }
    this.waiting.push(response);
    this.most = Math.max(this.most, this.waiting.length);
  };

  /** Requests that have not been answered yet. */
  get held(): number {
    return this.waiting.length;
  }

  /** Answers the request that has waited longest. */
  letOneGo(): void {
    this.waiting.shift()?.end();
  }

  /** Answers all that wait and, from now on, all that come. */
  open(): void {
    this.isOpen = true;
    for (const response of this.waiting.splice(0)) response.end();
  }
}
