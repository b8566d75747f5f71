// Node's fetch: one after the other, all at once, a streamed upload, an error.
'use strict';

const assert = require('node:assert');
const { address, ids } = JSON.parse(require('node:fs').readFileSync(0));

const ask = (path, id, options = {}) =>
  fetch(`http://${address}${path}`, { ...options, headers: { ...options.headers, 'X-Request-ID': id } });

const main = async () => {
  const half = ids.get.length / 2;
  for (const id of ids.get.slice(0, half)) {
    const answer = await ask('/echo', id);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-request-id'), id);
    assert.match(answer.headers.get('server-timing'), /ridealong;dur=/);
    assert.equal((await answer.json()).headers['x-request-id'], id);
  }
  const answers = await Promise.all(ids.get.slice(half).map((id) => ask(`/bytes/1000`, id)));
  for (const answer of answers) assert.equal((await answer.text()).length, 1000);
  for (const id of ids.upload) {
    const body = new ReadableStream({
      start(stream) {
        for (let at = 0; at < 30; at += 1) stream.enqueue(new Uint8Array(10_000));
        stream.close();
      },
    });
    const answer = await ask('/echo', id, { method: 'POST', body, duplex: 'half' });
    assert.equal((await answer.json()).length, 300_000);
  }
  assert.equal((await ask('/status/404', ids.missing[0])).status, 404);
};

main().catch((error) => { console.error(error); process.exit(1); });
