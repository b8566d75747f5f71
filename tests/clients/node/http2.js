// Node's http2 with prior knowledge: a hundred streams at once, uploads, trailers.
'use strict';

const assert = require('node:assert');
const http2 = require('node:http2');
const { address, ids } = JSON.parse(require('node:fs').readFileSync(0));

const session = http2.connect(`http://${address}`);

const ask = (path, id, body) =>
  new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ':method': body ? 'POST' : 'GET', 'x-request-id': id, te: 'trailers' });
    const pieces = [];
    const got = { trailers: {} };
    stream.on('response', (headers) => { got.headers = headers; });
    stream.on('trailers', (trailers) => { got.trailers = trailers; });
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('error', reject);
    stream.on('end', () => resolve({ ...got, text: Buffer.concat(pieces).toString() }));
    stream.end(body);
  });

const main = async () => {
  await Promise.all(ids.get.map(async (id) => {
    const { headers, text } = await ask('/echo', id);
    assert.equal(headers[':status'], 200);
    assert.equal(JSON.parse(text).headers['x-request-id'], id);
  }));
  await Promise.all(ids.upload.map(async (id) => {
    const { text } = await ask('/echo', id, Buffer.alloc(300_000, 'u'));
    assert.equal(JSON.parse(text).length, 300_000);
  }));
  const { trailers, text } = await ask('/trailers', ids.trailers[0]);
  assert.equal(text, 'first, second\n');
  assert.equal(trailers['x-sum'], 'abc');
  session.close();
};

session.on('error', (error) => { console.error(error); process.exit(1); });
main().catch((error) => { console.error(error); process.exit(1); });
