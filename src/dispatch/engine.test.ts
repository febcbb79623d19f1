import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ServiceError } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { pino } from 'pino';
import { steadyMs } from '../common/steady-clock.js';
import { ITEM } from '../../test/support/dispatch-item.js';
import type { Settings } from '../config/settings.js';
import type { Database } from '../database/database.js';
import type { Metrics } from '../metrics/metrics.js';
import { Pacer } from '../pacing/pacer.js';
import type { Reservations } from '../pacing/reservations.js';
import { type Temporal, TemporalNotAskedError, TemporalUnavailableError } from '../temporal/temporal.js';
import type { DeliveryStarter } from './delivery-starter.js';
import type { DispatchItem } from './dispatch-item.js';
import { Engine } from './engine.js';

const SETTINGS = { DISPATCH_CONCURRENCY: 8, ATTEMPT_CONCURRENCY: 100 } as Settings;
/** What gRPC says. */
const status = (code: number) => Object.assign(new Error('as the server has it'), { code });

const ROOM = { leaves: false, lightIsComing: false };

/**
 * It asks nothing of the parts that it is not given here, and of the others the one method that it has.
 *
 * @param start of workflows: servers that answer pings and start nothing, or hang just so long, cannot be had
 */
function engineWith(start: () => Promise<boolean>) {
  const pacer = new Pacer(undefined as unknown as Database, undefined as unknown as Reservations, SETTINGS);
  const engine = new Engine(
    undefined as unknown as Database,
    undefined as unknown as Temporal,
    { start } as unknown as DeliveryStarter,
    pacer,
    { firstAttempt: () => undefined } as unknown as Metrics,
    SETTINGS,
    pino({ level: 'silent' }),
  );
  /** Takes the delivery from the lane and starts it. */
  const begin = (item: DispatchItem) => {
    engine.lane.queue.push(item, steadyMs());
    const taken = engine.take(steadyMs(), ROOM, () => true);
    if (!taken) throw new Error('nothing could be taken');
    return engine.start(taken);
  };
  return { engine, pacer, begin };
}

describe('an engine of which a start has failed', () => {
  const NEVER = new Promise<boolean>(() => undefined);

  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is behind until one comes about, however long the next one hangs', async () => {
    const answers = [Promise.reject(new TemporalUnavailableError()), NEVER];
    const { engine, begin } = engineWith(() => answers.shift() ?? Promise.resolve(true));
    const again = await begin(ITEM);
    engine.lane.free(ITEM.deliveryId);
    await jest.advanceTimersByTimeAsync(1_000);
    void begin(again ?? ITEM);
    for (let seconds = 0; seconds < 10; seconds += 1) {
      await jest.advanceTimersByTimeAsync(1_000);
      expect(engine.isBehind(steadyMs())).toBe(true);
    }
  });

  it('is tried by the next delivery where none waits for it', async () => {
    const { engine, begin } = engineWith(() => Promise.reject(new TemporalUnavailableError()));
    await begin(ITEM);
    engine.lane.free(ITEM.deliveryId);
    for (let seconds = 0; seconds < 5; seconds += 1) {
      await jest.advanceTimersByTimeAsync(1_000);
      engine.isBehind(steadyMs());
    }
    expect(engine.isBehind(steadyMs())).toBe(false);
  });

  it('leaves the place at the endpoint to others while a start hangs', async () => {
    const { pacer, begin } = engineWith(() => NEVER);
    void begin(ITEM);
    expect(pacer.has(ITEM.deliveryId)).toBe(true);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(pacer.has(ITEM.deliveryId)).toBe(false);
  });

  it.each([
    ['does not let us in', new ServiceError('Failed to start Workflow', { cause: status(16) })],
    ['has lost our namespace', new NamespaceNotFoundError('default')],
  ])('is behind where Temporal %s, and keeps what waits', async (_, error) => {
    const { engine, begin } = engineWith(() => Promise.reject(error));
    expect(await begin(ITEM)).toEqual({ ...ITEM, auto: false });
    expect(engine.isBehind(steadyMs())).toBe(true);
  });

  it('goes on without what Temporal finds wrong', async () => {
    const error = new ServiceError('Failed to start Workflow', { cause: status(3) });
    const { engine, begin } = engineWith(() => Promise.reject(error));
    expect(await begin(ITEM)).toBeUndefined();
    expect(engine.isBehind(steadyMs())).toBe(false);
  });

  it('keeps to itself what it was asked for, and nothing else', async () => {
    const asked = engineWith(() => Promise.reject(new TemporalUnavailableError()));
    expect(await asked.begin(ITEM)).toEqual({ ...ITEM, auto: false });
    const notAsked = engineWith(() => Promise.reject(new TemporalNotAskedError()));
    expect(await notAsked.begin(ITEM)).toEqual(ITEM);
  });
});
