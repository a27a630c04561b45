import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { ids } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';

const server = await startServer();
after(() => server.stop());

const IN_FLIGHT = 16;
const ROUNDS = 10;

/** Emits numbered sends without waiting between them; answers the acks. */
function burst(socket, to, label, count) {
  const acks = Array.from({ length: count }, (_, n) =>
    socket.ask('sendMessage', { to: to.email, content: `${label} ${n}`, contentType: 'text' }),
  );
  return Promise.all(acks);
}

/** The numbers that follow a label, in the order in which their messages stand. */
const numbers = (messages, label) =>
  messages
    .filter((message) => message.content.startsWith(`${label} `))
    .map((message) => Number(message.content.slice(label.length + 1)));

const upTo = (count) => Array.from({ length: count }, (_, n) => n);

test('sends in flight on one socket keep their order, live and in history, while another device sends by REST', async () => {
  const org = await server.org();
  const [alice, bob] = await org.people('alice', 'bob');
  const hers = await alice.connect();
  const hersToo = await alice.connect();
  const his = await bob.connect();
  let done = false;

  const byRest = (async () => {
    let sent = 0;
    for (; !done; sent++) await alice.send(bob, `rest ${sent}`);
    return sent;
  })();
  const acks = [];
  for (let round = 0; round < ROUNDS; round++) {
    acks.push(...(await burst(hers, bob, `round${round}`, IN_FLIGHT)));
  }
  done = true;
  const restCount = await byRest;

  const total = ROUNDS * IN_FLIGHT + restCount;
  const live = await his.collect('newMessage', total);
  const mirrored = await hersToo.collect('messageSent', total);
  const history = await bob.history(alice);
  assert.deepEqual(ids(live), ids(history));
  assert.deepEqual(ids(mirrored), ids(history));
  for (let round = 0; round < ROUNDS; round++) {
    assert.deepEqual(numbers(history, `round${round}`), upTo(IN_FLIGHT));
  }
  assert.deepEqual(numbers(history, 'rest'), upTo(restCount));
  const seqs = acks.map((ack) => ack.message.seq);
  assert.deepEqual(
    seqs,
    seqs.toSorted((one, other) => one - other),
  );
});

test('every live message names the seq of the one before it', async () => {
  const org = await server.org();
  const [alice, bob] = await org.people('alice', 'bob');
  const [hers, his] = [await alice.connect(), await bob.connect()];

  await Promise.all([burst(hers, bob, 'a', 40), burst(his, alice, 'b', 40)]);

  const received = await his.collect('newMessage', 40);
  const history = await bob.history(alice);
  const before = new Map(history.map((message, n) => [message.id, history[n - 1]?.seq]));
  for (const message of received.filter(({ id }) => before.get(id) !== undefined)) {
    assert.equal(message.prevSeq, before.get(message.id));
  }
});

test('sends of one socket to several peers keep the order to each', async () => {
  const org = await server.org();
  const [alice, bob, carol, dave] = await org.people('alice', 'bob', 'carol', 'dave');
  const hers = await alice.connect();
  const peers = [bob, carol, dave];
  const sockets = [];
  for (const peer of peers) sockets.push(await peer.connect());

  await Promise.all(
    upTo(40).flatMap((n) =>
      peers.map((to) => hers.ask('sendMessage', { to: to.email, content: `m ${n}`, contentType: 'text' })),
    ),
  );

  for (const [index, peer] of peers.entries()) {
    assert.deepEqual(numbers(await sockets[index].collect('newMessage', 40), 'm'), upTo(40));
    assert.deepEqual(numbers(await peer.history(alice), 'm'), upTo(40));
  }
});

test('a refused send does not hold up or reorder those around it', async () => {
  const org = await server.org();
  const [alice, bob] = await org.people('alice', 'bob');
  const [hers, his] = [await alice.connect(), await bob.connect()];
  const send = (n) => ({ to: bob.email, content: n % 4 === 3 ? '' : `m ${n}`, contentType: 'text' });

  const acks = await Promise.all(upTo(32).map((n) => hers.ask('sendMessage', send(n))));

  assert.deepEqual(
    acks.map((ack) => ack.ok),
    upTo(32).map((n) => n % 4 !== 3),
  );
  assert.deepEqual(
    numbers(await his.collect('newMessage', 24), 'm'),
    upTo(32).filter((n) => n % 4 !== 3),
  );
});
