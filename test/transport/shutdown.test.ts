import { describe, expect, it } from '@jest/globals';
import { post, receivers, responseOf } from './receivers.js';

const { http, transport } = receivers();

describe('shutting down', () => {
  it('waits for requests under way and takes no more', async () => {
    let answer: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let respond: () => void = () => undefined;
    const { url } = await http((_request, response) => {
      respond = () => response.end('done');
      answer();
    });
    const sender = transport();
    const sent = sender.send(post(url));
    await arrived;
    const closed = sender.close();
    await expect(sender.send(post(url))).rejects.toMatchObject({ name: 'TransportFault' });
    respond();
    expect(responseOf(await sent).body).toBe('done');
    await closed;
  });

  it('at once ends requests under way as no fault of the receiver', async () => {
    let arrive: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const { url } = await http(() => arrive());
    const sender = transport();
    const sent = expect(sender.send(post(url))).rejects.toMatchObject({ name: 'TransportFault' });
    await arrived;
    await sender.destroy();
    await sent;
  });
});
