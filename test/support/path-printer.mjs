// A receiver in a process of its own: `node path-printer.mjs BACKLOG` prints its port, then the path of each request.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  request.resume().once('end', () => {
    process.stdout.write(`${request.url}\n`);
    response.end();
  });
});
server.listen({ port: 0, host: '127.0.0.1', backlog: Number(process.argv[2]) }, () => {
  process.stdout.write(`${server.address().port}\n`);
});
