import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Host, Hosts } from './crowd.js';

/** A host with so many of ours waiting for it since a moment. */
function waitedFor(count: number, since = 0, most = 10): Host {
  const host = new Host('a', most);
  for (let i = 0; i < count; i++) host.begin(since);
  return host;
}

describe('Host', () => {
  it('is crowded when more of ours wait than it may have, and it takes connections', () => {
    const host = waitedFor(11);
    host.stand(100);
    expect(host.isCrowded(0)).toBe(true);
  });

  it('is not crowded by as many as it may have', () => {
    const host = waitedFor(10);
    host.stand(100);
    expect(host.isCrowded(0)).toBe(false);
  });

  it('is dead, and not crowded, when no connection stands, however many wait', () => {
    const host = waitedFor(5000);
    expect(host.isCrowded(0)).toBe(false);
    host.stand(100);
    host.leave();
    expect(host.isCrowded(200)).toBe(false);
  });

  it('is crowded also when it has just answered all whose connections stood, before others got theirs', () => {
    const host = waitedFor(11, 50);
    host.stand(40);
    host.leave();
    expect(host.isCrowded(50)).toBe(false);
    host.answer(60);
    expect(host.isCrowded(50)).toBe(true);
  });

  it('is crowded for each of those who gave up together, the last of them too', () => {
    const host = waitedFor(11, 50);
    host.stand(100);
    host.leave();
    const verdicts = Array.from({ length: 11 }, () => {
      const verdict = host.isCrowded(50);
      host.end();
      return verdict;
    });
    expect(verdicts).toEqual(Array.from({ length: 11 }, () => true));
    expect(host.isCrowded(101)).toBe(false);
  });

  it('has those come back one after the other, none at once and none after more than a minute', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20_000 }), fc.nat(9), (count, stepMs) => {
        const host = waitedFor(0);
        let last = 0;
        return Array.from({ length: count }, (_, index) => index * stepMs).every((now) => {
          const waitMs = host.comeBackIn(now);
          const inOrder = now + waitMs >= last;
          last = now + waitMs;
          return inOrder && waitMs >= 1000 && waitMs <= 60_000;
        });
      }),
    );
    const host = waitedFor(0);
    expect([host.comeBackIn(0), host.comeBackIn(0), host.comeBackIn(1)]).toEqual([1000, 1005, 1009]);
  });
});

describe('Hosts', () => {
  const to = (origin: string, ...addresses: string[]) => ({ origin, addresses, onlyAllowedNetworks: false });

  it('are one for each address and port, whatever the names that lead there', () => {
    const hosts = new Hosts(10);
    const [a] = hosts.of(to('https://a.example', '8.8.8.8'));
    const both = hosts.of(to('https://b.example', '9.9.9.9', '8.8.8.8'));
    expect(both[1]).toBe(a);
    expect(both[0]).not.toBe(a);
    expect(hosts.of(to('https://a.example:8443', '8.8.8.8'))[0]).not.toBe(a);
    expect(hosts.of(to('http://a.example', '8.8.8.8'))[0]).not.toBe(a);
  });

  it('are known by their names where the egress proxy resolves them', () => {
    const hosts = new Hosts(10);
    const [a] = hosts.of(to('https://a.example'));
    expect(hosts.of(to('https://a.example'))[0]).toBe(a);
    expect(hosts.of(to('https://b.example'))[0]).not.toBe(a);
  });

  it('are forgotten with the last pool that leads to them', () => {
    const hosts = new Hosts(10);
    const first = hosts.of(to('https://a.example', '8.8.8.8'));
    const second = hosts.of(to('https://b.example', '8.8.8.8'));
    hosts.release(first);
    expect(hosts.size).toBe(1);
    hosts.release(second);
    expect(hosts.size).toBe(0);
  });
});
