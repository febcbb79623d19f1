import { describe, expect, it } from '@jest/globals';
import { connectFault, ReceiverFault, TransportFault } from './failures.js';

const failure = (code: string, address: string) => Object.assign(new Error(code), { code, address });

describe('a connection that did not come about', () => {
  it.each([
    ['no port is left', failure('EADDRNOTAVAIL', '192.0.2.1')],
    ['no descriptor is left', failure('EMFILE', '2001:db8::1')],
    [
      'no port is left for one of its addresses',
      new AggregateError([failure('ECONNREFUSED', '192.0.2.1'), failure('EADDRNOTAVAIL', '192.0.2.2')]),
    ],
  ])('is not charged to its receiver where %s', (_, error) => {
    expect(connectFault(error, false)).toBeInstanceOf(TransportFault);
  });

  it.each([
    ['connect_unreachable', failure('EADDRNOTAVAIL', '2001:db8::1')],
    [
      'connect_refused',
      new AggregateError([failure('ECONNREFUSED', '192.0.2.1'), failure('EADDRNOTAVAIL', '2001:db8::1')]),
    ],
  ])('is %s for a receiver with an IPv6 address where this machine has none', (code, error) => {
    const fault = connectFault(error, false);
    expect(fault).toBeInstanceOf(ReceiverFault);
    expect(fault).toMatchObject({ code });
  });
});
