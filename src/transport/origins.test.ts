import { afterEach, describe, expect, it } from '@jest/globals';
import { PUBLIC_ONLY } from './egress-networks.js';
import { Origins } from './origins.js';
import { secureContext } from './secure-contexts.js';

const made: Origins[] = [];
function origins() {
  const one = new Origins({ allow: PUBLIC_ONLY, connectTimeoutMs: 1000, tls: secureContext({}), crowd: 256 });
  made.push(one);
  return one;
}
afterEach(async () => {
  await Promise.all(made.splice(0).map((one) => one.destroy()));
});
const to = (origin: string, ...addresses: string[]) => ({ origin, addresses, onlyAllowedNetworks: false });

describe('Origins', () => {
  it('keeps one pool for an origin and its addresses, in whatever order DNS gives them', () => {
    const all = origins();
    const first = all.of(to('https://a.example', '8.8.8.8', '9.9.9.9'), 0);
    expect(all.of(to('https://a.example', '9.9.9.9', '8.8.8.8'), 1)).toBe(first);
    expect(all.of(to('https://a.example', '9.9.9.9'), 2)).not.toBe(first);
    expect(all.of(to('https://a.example:8443', '8.8.8.8', '9.9.9.9'), 3)).not.toBe(first);
    expect(all.of(to('https://a.example', '9.9.9.9', '1.1.1.1'), 4)).not.toBe(first);
    expect(all.size).toBe(4);
  });

  it('keeps another for each certificate or authority that connections are made with', () => {
    const all = origins();
    const plain = all.of(to('https://a.example', '8.8.8.8'), 0);
    const withCredentials = (key: string, now: number) =>
      all.of(
        { ...to('https://a.example', '8.8.8.8'), credentials: { key, context: secureContext({}) } },
        now,
      );
    const first = withCredentials('one', 1);
    expect(first).not.toBe(plain);
    expect(withCredentials('one', 2)).toBe(first);
    expect(withCredentials('two', 3)).not.toBe(first);
    expect(all.of(to('https://a.example', '8.8.8.8'), 4)).toBe(plain);
    expect(all.size).toBe(3);
  });

  it('gives up pools unused for a minute, and none that is in use', () => {
    const all = origins();
    const busy = all.of(to('https://busy.example', '8.8.8.8'), 0);
    busy.active = 1;
    all.of(to('https://idle.example', '8.8.8.8'), 0);
    all.of(to('https://new.example', '8.8.8.8'), 61_000);
    expect(all.size).toBe(2);
    expect(all.of(to('https://busy.example', '8.8.8.8'), 61_000)).toBe(busy);
  });

  it('keeps no more than 1,024, and gives up the longest unused first', () => {
    const all = origins();
    const first = all.of(to('https://first.example', '8.8.8.8'), 0);
    for (let i = 0; i < 3000; i++) {
      all.of(to(`https://e${i}.example`, '8.8.8.8'), 2000 * i);
      if (i % 20 === 0) expect(all.of(to('https://first.example', '8.8.8.8'), 2000 * i)).toBe(first);
    }
    expect(all.size).toBeLessThanOrEqual(1024);
    const crowd = origins();
    for (let i = 0; i < 3000; i++) crowd.of(to(`https://e${i}.example`, '8.8.8.8'), i);
    expect(crowd.size).toBe(1024);
  });
});
