// A Node service: service.js PORT_OR_PATH
//
// /echo answers what it got as JSON; /status/N; /bytes/N; /trailers; /hints sends 103 first; /refuse answers 413 without
// wanting the body; /ws is a WebSocket that sends everything back and closes as its client asks; /ws/no refuses with 401.
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');
const { WebSocketServer } = require('ws');

const echo = (request, response) => {
  const hash = crypto.createHash('sha256');
  let length = 0;
  request.on('data', (piece) => { hash.update(piece); length += piece.length; });
  request.on('end', () => {
    const { method, url, httpVersion, headers, trailers } = request;
    const said = JSON.stringify({ method, url, httpVersion, headers, trailers, length, sha256: hash.digest('hex') });
    response.setHeader('Content-Type', 'application/json');
    response.setHeader('Content-Length', Buffer.byteLength(said));
    response.end(said);
  });
};

const answer = (request, response) => {
  const [, kind, number] = request.url.split('?')[0].split('/');
  switch (kind) {
    case 'status':
      response.statusCode = Number(number);
      return response.end();
    case 'bytes':
      return response.end(Buffer.alloc(Number(number), 'x'));
    case 'trailers':
      response.setHeader('Trailer', 'X-Sum, X-Other');
      response.write('first, ');
      response.write('second\n');
      response.addTrailers({ 'X-Sum': 'abc', 'X-Other': 'def' });
      return response.end();
    case 'hints':
      return response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => echo(request, response));
    case 'refuse':
      response.writeHead(413, { Connection: 'close', 'Content-Length': 0 });
      return response.end();
    default:
      return echo(request, response);
  }
};

const server = http.createServer(answer);
// Its own decision instead of Node's: /refuse does not ask for the body.
server.on('checkContinue', (request, response) => {
  if (!request.url.startsWith('/refuse')) response.writeContinue();
  answer(request, response);
});

const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 24, handleProtocols: (offered) => [...offered][0] });
server.on('upgrade', (request, socket, head) => {
  if (request.headers.upgrade !== 'websocket' || request.url.startsWith('/ws/no')) {
    return socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n');
  }
  return sockets.handleUpgrade(request, socket, head, (client) => {
    client.on('message', (data, isBinary) => {
      if (data.toString() === 'close me') return client.close(4001, 'as you wish');
      return client.send(data, { binary: isBinary });
    });
  });
});

const where = process.argv[2];
server.listen(...(/^\d+$/.test(where) ? [Number(where), '127.0.0.1'] : [where]));
process.on('SIGTERM', () => process.exit(0));
