import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { assertError, assertProblem, assertRefused } from './harness/assertions.mjs';
import { sendRaw } from './harness/http.mjs';
import { RawSocket } from './harness/raw_socket.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const JSON_TYPE = { 'content-type': 'application/json' };
const TO = '"to":"bob@example.com"';
const REST = '"content":"hi","contentType":"text"';
const DEPTH = 100_000;

let alice;
let bob;
before(async () => {
  const org = await server.org();
  [alice, bob] = await org.people('alice', 'bob');
});

/** The server still serves, and none of it was its own fault. */
afterEach(async () => {
  assert.equal((await server.request('/health')).status, 200);
  assert.doesNotMatch(server.output, /panicked/);
});

const text = (content = 'hi') => ({ to: bob.email, content, contentType: 'text' });

describe('A body that cannot be taken is refused: it', () => {
  const bodies = {
    'is empty': '',
    'is cut short': `{${TO},"content":"h`,
    'is no JSON': 'to=bob&content=hi',
    'has a trailing comma': `{${TO},${REST},}`,
    'has something behind it': `{${TO},${REST}} {}`,
    'is null': 'null',
    'is a number': '7',
    'is a string': '"hi"',
    'is an array': `[{${TO},${REST}}]`,
    'is an empty object': '{}',
    'has a lone high surrogate': `{${TO},"content":"\\ud83d","contentType":"text"}`,
    'has a lone low surrogate': `{${TO},"content":"\\ude00 x","contentType":"text"}`,
    'has a NUL': `{${TO},"content":"a\\u0000b","contentType":"text"}`,
    'has a NUL in the address': '{"to":"bob\\u0000@example.com","content":"hi","contentType":"text"}',
    'has a NUL in the metadata': `{${TO},${REST},"metadata":{"k\\u0000":"v"}}`,
    'has a NUL in an attachment’s name': `{${TO},${REST},"attachments":[{"url":"https://a.example/","type":"image","name":"a\\u0000","size":1}]}`,
    'has a NUL in its client id': `{${TO},${REST},"clientId":"a\\u0000b"}`,
    'is not UTF-8': Buffer.from(`{${TO},"content":"\xff\xfe","contentType":"text"}`, 'latin1'),
    'nests arrays without end': '['.repeat(DEPTH),
    'nests objects without end': `{${TO},${REST},"metadata":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`,
    'has a number beyond all': `{${TO},${REST},"attachments":[{"url":"https://a.example/","type":"image","name":"a","size":1e400}]}`,
    'has a negative zero and a fraction as a size': `{${TO},${REST},"attachments":[{"url":"https://a.example/","type":"image","name":"a","size":-0.5}]}`,
    'has a number for content': `{${TO},"content":5,"contentType":"text"}`,
    'has an object for content': `{${TO},"content":{"a":1},"contentType":"text"}`,
    'has null for content': `{${TO},"content":null,"contentType":"text"}`,
    'has a list for a content type': `{${TO},"content":"hi","contentType":["text"]}`,
    'has an object for attachments': `{${TO},${REST},"attachments":{}}`,
    'has a text for an attachment': `{${TO},${REST},"attachments":["https://a.example/"]}`,
    'has an attachment without a url': `{${TO},${REST},"attachments":[{"type":"image","name":"a","size":1}]}`,
    'has a number for replyTo': `{${TO},${REST},"replyTo":7}`,
    'has a number for a client id': `{${TO},${REST},"clientId":7}`,
    'has an endless client id': `{${TO},${REST},"clientId":"${'k'.repeat(5000)}"}`,
    'has an empty client id': `{${TO},${REST},"clientId":""}`,
    'has an endless address': `{"to":"${'b'.repeat(5000)}@example.com",${REST}}`,
  };
  for (const [name, body] of Object.entries(bodies)) {
    test(name, async () => {
      const answer = await alice.post(MESSAGES, body, JSON_TYPE);

      assertRefused(answer);
      assert.equal(answer.body.code, 'invalid');
    });
  }

  test('says it is something other than JSON', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/octet-stream',
    ]) {
      assertRefused(await alice.post(MESSAGES, `{${TO},${REST}}`, { 'content-type': type }));
    }
  });

  test('is wrong for every other route too', async () => {
    const sent = await alice.send(bob, 'hi');
    const bad = [
      '',
      '{',
      'null',
      '7',
      '[]',
      '"x"',
      '{"ids":"x"}',
      '{"ids":{}}',
      '{"ids":[1]}',
      '{"content":7}',
      '{"content":"a\\u0000"}',
      '{"attachments":7}',
    ];

    for (const body of bad) {
      for (const [method, path] of [
        ['POST', `${MESSAGES}/read`],
        ['PATCH', `${MESSAGES}/${sent.id}`],
        ['POST', '/community/notifications/read'],
      ]) {
        const answer = await alice.request(method, path, { body, headers: JSON_TYPE });
        assert.ok(answer.status < 500, `${method} ${path} ${body}: ${answer.text}`);
      }
    }
    assert.deepEqual(await alice.message(sent.id), sent);
  });
});

test('a field that is named twice reaches one person or nobody', async () => {
  const org = await server.org();
  const [anna, ben, cleo] = await org.people('anna', 'ben', 'cleo');
  const body = `{"to":"${ben.email}","to":"${cleo.email}",${REST}}`;

  const answer = await anna.post(MESSAGES, body, JSON_TYPE);

  if (answer.status !== 201) assertRefused(answer);
  const received = [...(await ben.threads()), ...(await cleo.threads())];
  assert.equal(received.length, answer.status === 201 ? 1 : 0);
});

test('an unknown field of any name is ignored', async () => {
  const body = `{${TO},${REST},"__proto__":{"admin":true},"constructor":{"prototype":{}},"org_id":"x"}`;

  const answer = await alice.post(MESSAGES, body, JSON_TYPE);

  assert.equal(answer.status, 201, answer.text);
});

describe('A query or a path that means nothing', () => {
  test('is refused or ignored, but answered', async () => {
    const peer = threadPath(bob);
    const paths = [
      ...['abc', '-1', '0', 'NaN', '1e9', '1.5', '', '99999999999999999999999'].flatMap((limit) => [
        `${MESSAGES}/threads?limit=${limit}`,
        `${peer}?limit=${limit}`,
        `/community/notifications?limit=${limit}`,
      ]),
      ...['garbage', '', '%00', '7', 'x'.repeat(4000), '%27%3B--'].flatMap((value) => [
        `${MESSAGES}/threads?cursor=${value}`,
        `/community/notifications?cursor=${value}`,
        `${peer}?before=${value}`,
        `${peer}?after=${value}`,
        `${peer}?around=${value}`,
        `${MESSAGES}/sync?since=${value}`,
      ]),
      `${peer}?before=a&after=b&around=c`,
      `${peer}?limit=1&limit=2`,
      `${MESSAGES}/thread/%00`,
      `${MESSAGES}/thread/%ff%fe`,
      `${MESSAGES}/thread/%zz`,
      `${MESSAGES}/thread/%20`,
      `${MESSAGES}/thread/${'a'.repeat(4000)}`,
      `${MESSAGES}/thread/' or 1=1 --`,
      `${MESSAGES}/%ff`,
      `${MESSAGES}/%00`,
      `${MESSAGES}//`,
      `${MESSAGES}/..%2f..%2fadmin`,
    ];

    for (const path of paths) {
      const answer = await alice.get(path);
      if (answer.status !== 200) assertRefused(answer);
    }
  });

  test('never makes an answer too long', async () => {
    const org = await server.org();
    const [anna, ben] = await org.people('anna', 'ben');
    for (let round = 0; round < 11; round++) {
      await Promise.all(Array.from({ length: 100 }, () => anna.send(ben, 'x')));
    }

    const answer = await anna.get(threadPath(ben, '?limit=1000000000'));

    if (answer.status === 200) assert.ok(answer.body.length <= 1000, `${answer.body.length} messages`);
    else assertRefused(answer);
  });

  test('is no method of a route', async () => {
    for (const [method, path] of [
      ['PUT', MESSAGES],
      ['DELETE', MESSAGES],
      ['PATCH', `${MESSAGES}/threads`],
      ['POST', `${MESSAGES}/threads`],
      ['DELETE', `${MESSAGES}/unread-count`],
      ['PUT', `${MESSAGES}/01890000-0000-7000-8000-000000000000`],
      ['POST', `${MESSAGES}/sync`],
      ['DELETE', '/health'],
    ]) {
      const answer = await alice.request(method, path);
      assert.ok([404, 405].includes(answer.status), `${method} ${path}: ${answer.status}`);
    }
  });
});

describe('A header that means nothing is refused:', () => {
  const attempt = (headers) => server.request(`${MESSAGES}/threads`, { headers });

  test('an org of no such form', async () => {
    for (const orgid of ['', ' ', 'a b', "'--", '../x', 'ä', 'x'.repeat(5000)]) {
      assertRefused(await attempt({ orgid, authorization: `Bearer ${alice.token}` }));
    }
  });

  test('a credential of no such form', async () => {
    for (const authorization of [
      'Bearer',
      'Bearer ',
      'bearer x y z',
      'Bearer a.b.c',
      `Bearer ${'x'.repeat(8000)}`,
      'Bearer ....',
      alice.token,
    ]) {
      assertProblem(await attempt({ orgid: alice.org.id, authorization }), 401, 'unauthorized');
    }
  });
});

test('a head that is too large is refused', async () => {
  const attempt = (bytes) => server.request('/health', { headers: { 'x-large': 'x'.repeat(bytes) } });

  assert.equal((await attempt(60 * 1024)).status, 200);
  assert.equal((await attempt(64 * 1024)).status, 431);
});

describe('Bytes that are no HTTP end in a refusal:', () => {
  const attacks = {
    'a request line of garbage': 'GARBAGE\r\n\r\n',
    'a binary request line': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n',
    'a length and chunks at once': `POST ${MESSAGES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two lengths': `POST ${MESSAGES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd`,
    'a negative length': `POST ${MESSAGES} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: -1\r\n\r\n`,
  };
  for (const [name, bytes] of Object.entries(attacks)) {
    test(name, async () => {
      const received = await sendRaw(server.url, bytes);

      assert.match(received, /^(HTTP\/1\.[01] 4\d\d |$)/);
    });
  }
});

describe('An upgrade that is no WebSocket handshake is refused:', () => {
  const handshake = {
    Upgrade: 'websocket',
    Connection: 'keep-alive, Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const attempt = (headers, version = '1.1') => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const target = '/socket.io/?EIO=4&transport=websocket';
    return sendRaw(server.url, `GET ${target} HTTP/${version}\r\nHost: x\r\n${lines.join('')}\r\n`, 500);
  };

  test('that of the RFC is none such', async () => {
    assert.match(await attempt(handshake), /^HTTP\/1\.1 101 /);
  });

  for (const [name, headers] of [
    ['without Upgrade', { ...handshake, Upgrade: 'h2c' }],
    ['without Connection', { ...handshake, Connection: 'keep-alive' }],
    ['of another version', { ...handshake, 'Sec-WebSocket-Version': '8' }],
    ['with a key of another length', { ...handshake, 'Sec-WebSocket-Key': 'c2hvcnQ=' }],
    ['with two keys', { ...handshake, 'sec-websocket-key': handshake['Sec-WebSocket-Key'] }],
    ['without a key', { ...handshake, 'Sec-WebSocket-Key': '' }],
  ]) {
    test(name, async () => assert.match(await attempt(headers), /^HTTP\/1\.1 400 /));
  }

  test('over HTTP/1.0', async () => assert.match(await attempt(handshake, '1.0'), /^HTTP\/1\.0 400 /));
});

describe('A socket event that cannot be taken is refused in its ack:', () => {
  const deep = () => {
    let value = 'x';
    for (let n = 0; n < 2000; n++) value = [value];
    return value;
  };
  const payloads = {
    nothing: [],
    null: [null],
    'a number': [7],
    'a string': ['hi'],
    'an array': [[]],
    'an empty object': [{}],
    'a wrong type': [{ to: 7, content: {}, contentType: [] }],
    'a NUL': [{ to: 'bob@example.com', content: 'a\u0000b', contentType: 'text' }],
    'a NUL in the address': [{ to: 'bob\u0000@example.com', content: 'hi', contentType: 'text' }],
    'binary content': [{ to: 'bob@example.com', content: Buffer.from('hi'), contentType: 'text' }],
    'binary alone': [Buffer.from('hi')],
    'deep nesting': [{ to: 'bob@example.com', content: deep(), contentType: 'text' }],
  };
  for (const [name, payload] of Object.entries(payloads)) {
    test(`sendMessage with ${name}`, async () => {
      const socket = await alice.connect();

      const ack = await socket.ask('sendMessage', ...payload);

      assert.equal(ack.ok, false);
      assertError(ack.error, ack.error.status, 'invalid');
      assert.equal((await socket.ask('sendMessage', text())).ok, true);
    });
  }

  for (const [event, bad] of [
    [
      'markRead',
      [null, 7, 'x', [], {}, { messageId: 7 }, { ids: 'x' }, { ids: Array(501).fill('x') }, { thread: 7 }],
    ],
    ['authenticate', [{ token: 7 }, { token: null }, null, 'x', {}]],
  ]) {
    test(`${event} with what it does not take`, async () => {
      const socket = await alice.connect();

      for (const payload of bad) {
        const ack = await socket.ask(event, payload);
        assert.equal(ack.ok, false, `${JSON.stringify(payload)}: ${JSON.stringify(ack)}`);
        assert.ok(ack.error.status < 500, JSON.stringify(ack));
      }
    });
  }

  test('sync with what is no cursor starts anew or is refused', async () => {
    const socket = await alice.connect();

    for (const payload of [{ since: 7 }, { since: {} }, { since: ['x'] }, 'x', 7, []]) {
      const ack = await socket.ask('sync', payload);
      assert.ok(
        ack.resync === true || ack.ok === false,
        `${JSON.stringify(payload)}: ${JSON.stringify(ack)}`,
      );
    }
  });

  test('an event that does not exist', async () => {
    const socket = await alice.connect();

    for (const event of ['nothing', 'newMessage', 'typing2', '', '__proto__', 'x'.repeat(5000)]) {
      const ack = await socket.ask(event, { to: bob.email });
      assert.equal(ack.ok, false, event);
      assert.ok(ack.error.status < 500, JSON.stringify(ack));
    }
  });

  test('an event of one’s own that others would take for the server’s', async () => {
    const [socket, his] = [await alice.connect(), await bob.connect()];

    for (const event of ['newMessage', 'messageRead', 'userOffline', 'messageDeleted', 'exception']) {
      socket.tell(event, { id: 'forged', from: 'carol@example.com', content: 'forged', email: bob.email });
    }
    await socket.ask('sendMessage', text('real'));

    assert.equal((await his.next('newMessage', (message) => message.from === alice.email)).content, 'real');
    assert.ok(!his.all('newMessage').some((message) => message.id === 'forged'));
    for (const event of ['messageRead', 'messageDeleted', 'exception']) assert.deepEqual(his.all(event), []);
  });

  test('typing to nobody is nothing', async () => {
    const socket = await alice.connect();

    for (const payload of [
      null,
      7,
      'bob',
      {},
      { to: 7 },
      { to: alice.email },
      { to: 'nobody@example.com' },
      { to: 'a\u0000b' },
    ]) {
      socket.tell('typing', payload);
    }

    assert.ok(Array.isArray(await socket.ask('getOnlineUsers', null)));
  });

  test('more arguments than there are', async () => {
    const socket = await alice.connect();

    const ack = await socket.ask('sendMessage', text('first'), text('second'), 7);

    assert.equal(typeof ack.ok, 'boolean');
  });
});

describe('Packets that no client sends cost their own socket at most:', () => {
  const NS = '/community-chat,';
  const packets = {
    'no packet at all': [''],
    'an unknown Engine.IO type': ['9', 'x', '7hello'],
    'an unknown Socket.IO type': ['48', '4x', '49[]'],
    'an event of nothing': ['42', `42${NS}`, `42${NS}[]`],
    'an event that is no array': [`42${NS}{}`, `42${NS}7`, `42${NS}"x"`],
    'an event with no name': [`42${NS}[7]`, `42${NS}[null,{}]`, `42${NS}[{}]`],
    'a cut event': [`42${NS}["sendMessage",{"to":`],
    'an event of another namespace': ['42["sendMessage",{}]', '42/admin,["sendMessage",{}]'],
    'acks nobody asked for': [`43${NS}1[]`, `43${NS}-1[]`, `43${NS}[]`],
    'a huge ack id': [`42${NS}99999999999999999999999999["getOnlineUsers",null]`],
    'binaries that never come': [`451-${NS}["sendMessage",{"_placeholder":true,"num":0}]`],
    'a billion binaries': [`451000000000-${NS}["sendMessage",{"_placeholder":true,"num":0}]`],
    'a placeholder out of range': [
      `451-${NS}["sendMessage",{"_placeholder":true,"num":7}]`,
      Buffer.from('x'),
    ],
    'a frame of 2 MiB': [`42${NS}["sendMessage",{"to":"${'x'.repeat(2 * 1024 * 1024)}"}]`],
    'text that is no UTF-8': [{ text: Buffer.from('42\xff\xfe', 'latin1') }],
    'binaries nobody announced': [Buffer.from('hello'), Buffer.alloc(1000)],
    'a second CONNECT': [`40${NS}{}`, '40', '40/nothing,'],
    'a CONNECT of garbage': ['40/community-chat', `40${NS}{`, `40${NS}[]`],
    'an event after DISCONNECT': [`41${NS}`, `42${NS}1["getOnlineUsers",null]`],
    'a nest without end': [`42${NS}["sendMessage",${'['.repeat(DEPTH)}`],
    'a CONNECT_ERROR from a client': [`44${NS}{"message":"unauthorized"}`],
  };
  for (const [name, frames] of Object.entries(packets)) {
    test(name, async (t) => {
      const raw = await RawSocket.open(server.url);
      t.after(() => raw.close());
      await raw.join(alice);
      const [hers, his] = [await alice.connect(), await bob.connect()];

      for (const frame of frames) raw.send(frame.text ?? frame, frame.text && { binary: false });
      await hers.ask('sendMessage', text('as ever'));

      assert.equal((await his.next('newMessage')).content, 'as ever');
    });
  }

  test('an event before CONNECT', async (t) => {
    const raw = await RawSocket.open(server.url);
    t.after(() => raw.close());
    const his = await bob.connect();

    raw.send(`42${NS}1["sendMessage",${JSON.stringify(text('without a token'))}]`);
    await alice.send(bob, 'as ever');

    assert.equal((await his.next('newMessage')).content, 'as ever');
  });

  test('another version, an unknown transport, an unknown session', async () => {
    for (const query of [
      'EIO=3&transport=polling',
      'EIO=4&transport=smoke',
      'EIO=4&transport=polling&sid=nothing',
      'EIO=4',
      '',
    ]) {
      const answer = await server.request(`/socket.io/?${query}`);
      assert.ok(answer.status >= 400 && answer.status < 500, `${query}: ${answer.status}`);
    }
  });
});
