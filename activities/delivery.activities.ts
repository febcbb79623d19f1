import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { fromId } from '../src/common/ids.js';
import type { Attempter } from '../src/deliveries/attempter.js';
import type { CancelRecorder } from '../src/deliveries/cancel-recorder.js';
import type { Loader } from '../src/deliveries/loader.js';
import type { Recorder } from '../src/deliveries/recorder.js';
import type { CancelledRequest, DeliveryActivities, RecordRequest } from '../workflows/contracts.js';

export interface DeliveryActivityDependencies {
  /** Told that an attempt begins. @param deliveryId UUID */
  onAttempt: (deliveryId: string) => void;
  attempter: Pick<Attempter, 'attempt'>;
  loader: Pick<Loader, 'defer'>;
  recorder: Pick<Recorder, 'record'>;
  cancelRecorder: Pick<CancelRecorder, 'record'>;
}

const HEARTBEAT_EVERY_MS = 3_000;

/**
 * The activities of the delivery workflow. They reject for failures of our own only, before anything was sent; Temporal
 * then runs them again and the customer's schedule does not move. Once a request is out they return, but where the answer to
 * a batch speaks of its events one by one and cannot be kept.
 */
export function createDeliveryActivities(dependencies: DeliveryActivityDependencies): DeliveryActivities {
  const { onAttempt, attempter, loader, recorder, cancelRecorder } = dependencies;
  return {
    /**
     * Makes one attempt. Not idempotent towards the receiver when a worker dies between sending and recording: the same
     * `webhook-id` arrives twice then, which Standard Webhooks asks receivers to expect. An attempt that was recorded is
     * not made again.
     */
    async attemptDelivery(asked) {
      const stop = beat();
      try {
        const deliveryId = uuidOf(asked.deliveryId);
        onAttempt(deliveryId);
        const request = { ...asked };
        for (;;) {
          const result = await attempter.attempt(deliveryId, request);
          if (result.kind !== 'deferred') return result;
          if (await loader.defer(deliveryId, result.waitMs, result.slotAtMs !== undefined)) return result;
          // The moment that was reserved for it is not its own any more.
          delete request.slotAtMs;
        }
      } finally {
        stop();
      }
    },

    /** Idempotent: keyed by delivery and number. */
    async recordAttempt({ deliveryId, attempt, decision }: RecordRequest) {
      await recorder.record(uuidOf(deliveryId), attempt, decision, null);
    },

    /** Idempotent: a delivery that is over stays as it ended. */
    async recordCancelled({ deliveryId, reason, cancelWorkflowId }: CancelledRequest) {
      await cancelRecorder.record(uuidOf(deliveryId), reason, cancelWorkflowId);
    },
  };
}

function uuidOf(deliveryId: string): string {
  const uuid = fromId('delivery', deliveryId);
  if (uuid === null)
    throw ApplicationFailure.nonRetryable(`${deliveryId} is no delivery id`, 'bad_delivery_id');
  return uuid;
}

/** Heartbeats tell a worker that was killed from a receiver that is slow. Local activities have no need of them. */
function beat(): () => void {
  const context = Context.current();
  if (context.info.isLocal) return () => undefined;
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_EVERY_MS);
  return () => clearInterval(timer);
}
