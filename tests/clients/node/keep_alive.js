// Node's http with an agent that keeps its connections: 200 requests on 5 of them, trailers both ways, early hints.
'use strict';

const assert = require('node:assert');
const http = require('node:http');
const { address, ids } = JSON.parse(require('node:fs').readFileSync(0));

const [host, port] = address.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 5 });
const sockets = new Set();

const ask = (path, id, { method = 'GET', send = (request) => request.end() } = {}) =>
  new Promise((resolve, reject) => {
    const headers = { 'X-Request-ID': id, ...(method === 'POST' ? { Trailer: 'X-Mine', 'Transfer-Encoding': 'chunked' } : {}) };
    const request = http.request({ host, port, path, method, agent, headers }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => resolve({ response, text: Buffer.concat(pieces).toString(), hints: request.hints }));
    });
    request.on('socket', (socket) => sockets.add(socket));
    request.on('information', (hints) => { request.hints = hints; });
    request.on('error', reject);
    send(request);
  });

const main = async () => {
  await Promise.all(ids.get.map(async (id) => {
    const { response, text } = await ask('/echo', id);
    assert.equal(response.statusCode, 200);
    assert.equal(JSON.parse(text).headers['x-request-id'], id);
  }));
  assert.equal(sockets.size, 5, 'connections were not kept');
  for (const id of ids.trailers) {
    const { text } = await ask('/echo', id, {
      method: 'POST',
      send: (request) => {
        request.write('hello');
        request.addTrailers({ 'X-Mine': 'sent' });
        request.end();
      },
    });
    assert.deepEqual(JSON.parse(text).trailers, { 'x-mine': 'sent' });
  }
  const { hints } = await ask('/hints', ids.hints[0]);
  assert.equal(hints?.statusCode, 103, 'no early hints');
  assert.equal(hints.headers.link, '</style.css>; rel=preload');
  agent.destroy();
};

main().catch((error) => { console.error(error); process.exit(1); });
