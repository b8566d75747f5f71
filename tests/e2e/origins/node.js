// A Node service that writes down each request as it understood it: node.js PORT LOG
'use strict';

const fs = require('node:fs');
const http = require('node:http');

const [port, log] = process.argv.slice(2);
const note = (line) => fs.appendFileSync(log, JSON.stringify(line) + '\n');

const server = http.createServer((request, response) => {
  const pieces = [];
  const understood = (complete) =>
    note({ method: request.method, target: request.url, body: Buffer.concat(pieces).toString('latin1'), complete });
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    understood(true);
    const length = Buffer.concat(pieces).length;
    response.end(`${request.method} ${request.url} ${length} bytes\n`);
  });
  request.on('aborted', () => understood(false));
});
server.on('clientError', (error, socket) => {
  // A connection that only breaks off is no request.
  if (error.code?.startsWith('HPE_') && error.code !== 'HPE_INVALID_EOF_STATE') note({ refused: error.code });
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.keepAliveTimeout = 30_000;
server.listen(Number(port), '127.0.0.1');
