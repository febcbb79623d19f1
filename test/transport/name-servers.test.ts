import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import { PUBLIC_ONLY } from '../../src/transport/egress-networks.js';
import { checkDestination } from '../../src/transport/egress-check.js';
import { TransportFault } from '../../src/transport/failures.js';
import { resolveName, systemLookup } from '../../src/transport/resolve.js';

const A = 1;
const NS = 2;
const AAAA = 28;
const TRUNCATED = 0x0200;
const NOERROR = 0;
const SERVFAIL = 2;
const NXDOMAIN = 3;

interface Answer {
  rcode?: number;
  /** Addresses as bytes: four for A, sixteen for AAAA. */
  records?: number[][];
}

let open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
  open = [];
});

/** A name server on a free UDP port (RFC 1035 §4): repeats the question and adds what it is told to answer. */
async function nameServer(answers: (type: number) => Answer | 'truncated'): Promise<string> {
  const socket = createSocket('udp4');
  open.push(socket);
  socket.on('message', (query, from) => {
    const end = query.indexOf(0, 12) + 5;
    const type = query.readUInt16BE(end - 4);
    const answer = answers(type);
    const { rcode = NOERROR, records = [] } = answer === 'truncated' ? {} : answer;
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (answer === 'truncated' ? TRUNCATED : 0) | rcode, 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8);
    const body = records.map((bytes) =>
      Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes]),
    );
    socket.send(Buffer.concat([head, query.subarray(12, end), ...body]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return `127.0.0.1:${socket.address().port}`;
}

const LOOPBACK_6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

async function resolve(answers: (type: number) => Answer) {
  const lookup = systemLookup(PUBLIC_ONLY, [await nameServer(answers)]);
  return resolveName('hooks.example.com', false, PUBLIC_ONLY, lookup);
}

describe('name servers', () => {
  it('are asked for every address of both families', async () => {
    const resolved = await resolve((type) =>
      type === A
        ? {
            records: [
              [93, 184, 216, 34],
              [93, 184, 216, 35],
            ],
          }
        : { records: [[0x26, 0x06, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x11]] },
    );
    expect(resolved).toEqual({ ok: true, addresses: ['93.184.216.34', '93.184.216.35', '2606:4700::1111'] });
  });

  it('may hide a private address among public ones, in the other family too', async () => {
    const records = [[93, 184, 216, 34]];
    expect(await resolve((type) => (type === A ? { records } : { records: [LOOPBACK_6] }))).toMatchObject({
      code: 'address_refused',
    });
    const mixed = [...records, [10, 0, 0, 1]];
    expect(await resolve((type) => (type === A ? { records: mixed } : {}))).toMatchObject({
      code: 'address_refused',
    });
  });

  it('may have a name in one family only', async () => {
    const resolved = await resolve((type) => (type === AAAA ? {} : { records: [[93, 184, 216, 34]] }));
    expect(resolved).toMatchObject({ ok: true });
  });

  it('say that a name does not exist or has no address', async () => {
    expect(await resolve(() => ({ rcode: NXDOMAIN }))).toMatchObject({ code: 'dns_not_found' });
    expect(await resolve(() => ({}))).toMatchObject({ code: 'dns_not_found' });
  });

  it('that cannot be asked are ours, and say nothing about the name', async () => {
    const unused = await nameServer(() => ({}));
    for (const socket of open.splice(0)) await new Promise<void>((resolve) => socket.close(() => resolve()));
    const lookup = systemLookup(PUBLIC_ONLY, [unused]);
    await expect(resolveName('hooks.example.com', false, PUBLIC_ONLY, lookup)).rejects.toThrow(
      TransportFault,
    );
    expect(await checkDestination('https://hooks.example.com/', PUBLIC_ONLY, lookup)).toMatchObject({
      ok: true,
    });
  });

  it('may have more of one name than they give out, which is not ours to answer for', async () => {
    // Asked again by TCP, where nothing listens.
    const lookup = systemLookup(PUBLIC_ONLY, [await nameServer((type) => (type === NS ? {} : 'truncated'))]);
    expect(await resolveName('hooks.example.com', false, PUBLIC_ONLY, lookup)).toMatchObject({
      code: 'dns_failed',
    });
  });

  it('may fail, which is not the same as not knowing the name', async () => {
    expect(await resolve(() => ({ rcode: SERVFAIL }))).toMatchObject({ code: 'dns_failed' });
    expect(await resolve((type) => (type === A ? { rcode: SERVFAIL } : {}))).toMatchObject({
      code: 'dns_failed',
    });
  });
});
