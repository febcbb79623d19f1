import type { Api } from './api.js';
import type { Receiver, Temper } from './receiver.js';

export interface Customer {
  accountId: string;
  endpoints: {
    id: string;
    /** Its name at the receiver. */
    name: string;
  }[];
}

/** Short, so that backoff is always under way somewhere, and long enough that no fault exhausts it. */
const RETRY_SCHEDULE = [1, 2, 3, ...Array.from({ length: 20 }, () => 5)];

const steady: Temper = (_nth, response) => {
  response.end();
  return 'accepts';
};

/** Breaks on every event once. */
const flaky: Temper = (nth, response) => {
  response.writeHead(nth === 1 ? 500 : 204).end();
  return nth === 1 ? 'refuses' : 'accepts';
};

/** Breaks twice, the second time by hanging up. */
const stubborn: Temper = (nth, response) => {
  if (nth === 2) response.destroy();
  else response.writeHead(nth === 1 ? 503 : 200).end();
  return nth < 3 ? 'refuses' : 'accepts';
};

const slow: Temper = (_nth, response) => {
  setTimeout(() => response.end(), 300);
  return 'accepts';
};

const CUSTOMERS: Record<string, Temper>[] = [{ steady }, { flaky, slow }, { stubborn, steady }];

/** Accounts with endpoints of every temper. */
export function signUp(api: Api, receiver: Receiver): Promise<Customer[]> {
  return Promise.all(
    CUSTOMERS.map(async (tempers, index) => {
      const accountId = await api.account(`customer ${index + 1}`);
      const endpoints = await Promise.all(
        Object.entries(tempers).map(async ([temperName, temper]) => {
          const name = `${temperName}-${index + 1}`;
          const url = receiver.offer(name, temper);
          const { id, signingSecret } = await api.endpoint(accountId, { url, retrySchedule: RETRY_SCHEDULE });
          receiver.trust(name, signingSecret);
          return { id, name };
        }),
      );
      return { accountId, endpoints };
    }),
  );
}
