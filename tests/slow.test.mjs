import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { ids } from './harness/assertions.mjs';
import { RawSocket } from './harness/raw_socket.mjs';
import { startServer } from './harness/server.mjs';
import { within } from './harness/until.mjs';

const server = await startServer();
after(() => server.stop());

// So much at once fills the kernel's buffers between the two (about 6 MB) within some hundred sends.
const CONTENT = 'x'.repeat(64 * 1024);
const BATCH = 16;
const MOST_SENDS = 2000;

test('a socket that stops reading is cut, costs others nothing, and loses nothing after a sync', async (t) => {
  const org = await server.org({ maxContentBytes: CONTENT.length });
  const [alice, bob, carol] = await org.people('alice', 'bob', 'carol');
  const carols = await carol.connect();
  const { cursor } = await bob.sync(null);
  const stuck = await RawSocket.open(server.url);
  t.after(() => stuck.close());
  await stuck.join(bob);
  await carols.next('userOnline', (event) => event.email === bob.email);
  stuck.socket.pause();

  const sent = [];
  let slowestMs = 0;
  while (!carols.all('userOffline').length) {
    assert.ok(sent.length < MOST_SENDS, `bob was not cut by ${sent.length} sends`);
    sent.push(...(await Promise.all(Array.from({ length: BATCH }, () => alice.send(bob, CONTENT)))));
    const asked = Date.now();
    const toCarol = await alice.send(carol, 'quick');
    await carols.next('newMessage', (message) => message.id === toCarol.id);
    slowestMs = Math.max(slowestMs, Date.now() - asked);
  }
  stuck.socket.resume();
  await within(20_000, 'the end of the stuck socket', stuck.closed);
  const back = await bob.connect();
  const synced = [];
  for (let since = cursor, more = true; more;) {
    const page = await back.ask('sync', { since });
    assert.notEqual(page.resync, true);
    synced.push(...page.changes.filter((change) => change.type === 'message'));
    ({ cursor: since, more } = page);
  }

  assert.deepEqual(synced.map((change) => change.message.id).sort(), ids(sent).sort());
  const received = stuck.events('newMessage');
  assert.ok(received.length < sent.length, 'nothing was held back');
  assert.equal(new Set(ids(received)).size, received.length);
  assert.ok(slowestMs < 5000, `a message to someone else took ${slowestMs} ms`);
  assert.deepEqual(
    carols.all('userOffline').map((event) => event.email),
    [bob.email],
  );
});
