import { Injectable } from '@nestjs/common';
import { Problem } from '../common/problems.js';
import { type Converted, Converter, type ToConvert } from './converter.js';

const COME_BACK_SECONDS = 5;

/** Events for people who wait for the answer, in the version that they want. */
@Injectable()
export class ConvertedEvents {
  constructor(private readonly converter: Converter) {}

  /**
   * As its endpoint would get it.
   *
   * @throws Problem `unavailable` where it cannot be converted now
   */
  async of<Event extends ToConvert>(event: Event): Promise<Event> {
    const chain = this.converter.chainOf(event);
    if (!chain) return event;
    const made = await this.converter.convert(event, chain);
    if (made.kind !== 'converted')
      throw new Problem('unavailable', `The event cannot be converted to version \`${chain.to}\` now.`, {
        retryAfterSeconds: COME_BACK_SECONDS,
      });
    const { version, data }: Converted = made;
    return { ...event, version, data };
  }
}
