// The package `ws`: messages there and back, pings, a close with code and reason, a refusal.
'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const WebSocket = require('ws');
const { address, ids } = JSON.parse(require('node:fs').readFileSync(0));

const dial = (path, id) => new WebSocket(`ws://${address}${path}`, ['shop.v1', 'other'], { headers: { 'X-Request-ID': id } });

const echo = async (id) => {
  const socket = dial('/ws', id);
  await once(socket, 'open');
  assert.equal(socket.protocol, 'shop.v1');
  for (const message of [Buffer.from('hello'), Buffer.alloc(1 << 20, 7), Buffer.alloc(0)]) {
    const back = once(socket, 'message');
    socket.send(message, { binary: true });
    const [data, isBinary] = await back;
    assert.ok(isBinary && message.equals(data));
  }
  const pong = once(socket, 'pong');
  socket.ping('are you there');
  assert.equal((await pong)[0].toString(), 'are you there');
  socket.close(1000);
  await once(socket, 'close');
};

const main = async () => {
  await Promise.all(ids.echo.map(echo));
  const socket = dial('/ws', ids.close[0]);
  await once(socket, 'open');
  socket.send('close me');
  const [code, reason] = await once(socket, 'close');
  assert.deepEqual([code, reason.toString()], [4001, 'as you wish']);
  const [, answer] = await once(dial('/ws/no', ids.refused[0]), 'unexpected-response');
  assert.equal(answer.statusCode, 401);
  answer.destroy();
};

setTimeout(() => { console.error('hung'); process.exit(1); }, 60_000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
