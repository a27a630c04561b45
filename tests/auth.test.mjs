import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';

import { assertAckError, assertProblem, assertRefused, ids } from './harness/assertions.mjs';
import { refusalOf } from './harness/client.mjs';
import { sendRaw } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { claimsOf, jwt, now, tampered } from './harness/tokens.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, User, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const COUNT = `${MESSAGES}/unread-count`;

/** Both doors turn the token away, for the same reason. */
async function assertTurnedAway(org, token, status = 401, code = 'unauthorized') {
  const user = new User(org, 'mallory@example.com', token);
  assertProblem(await user.get(COUNT), status, code);
  assertProblem(await user.get(`/client${COUNT}`), status, code);
  assert.equal(await user.connectRefusal(), code);
}

/** Both doors take the token. */
async function assertTaken(org, token) {
  const user = new User(org, claimsOf(token).email, token);
  await user.signIn();
  (await user.connect()).close();
}

const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = (key) => key.export({ type: 'spki', format: 'pem' });

describe('A bad token is 401 over REST and refuses the CONNECT: it', () => {
  const email = 'mallory@example.com';
  const own = rsa();
  let org;
  let good;

  before(async () => {
    org = await server.org();
    good = org.claims({ email });
  });

  const attacks = {
    'is not signed (alg none)': () => jwt(good, '', { alg: 'none' }),
    'is not signed (alg NoNe)': () => jwt(good, '', { alg: 'NoNe' }),
    'has no signature part': () => jwt(good, org.secret).split('.').slice(0, 2).join('.'),
    'is signed with HS512 where the key is for HS256': () => jwt(good, org.secret, { alg: 'HS512' }),
    'says HS512 over an HS256 signature': () => jwt(good, org.secret, { header: { alg: 'HS512' } }),
    'has no alg': () => jwt(good, org.secret, { header: { alg: undefined } }),
    'has an unknown crit': () => jwt(good, org.secret, { header: { crit: ['b64'], b64: true } }),
    'brings its own key in the header': () =>
      jwt(good, own.privateKey, {
        alg: 'RS256',
        header: { jwk: own.publicKey.export({ format: 'jwk' }) },
      }),
    'names a file as its key': () => jwt(good, '', { header: { kid: '../../../../dev/null' } }),
    'names a key by SQL': () => jwt(good, 'x', { header: { kid: "x' union select 'x' --" } }),
    'is signed with a wrong secret': () => jwt(good, randomBytes(32).toString('hex')),
    'is signed with an empty secret': () => jwt(good, ''),
    'was tampered with': () => tampered(jwt(good, org.secret), { email: 'bob@example.com' }),
    'was cut short': () => jwt(good, org.secret).slice(0, -6),
    'has a fourth part': () => `${jwt(good, org.secret)}.AAAA`,
    'is no token at all': () => 'hello',
    'has expired': () => jwt({ ...good, exp: now() - 120 }, org.secret),
    'is not valid yet': () => jwt({ ...good, nbf: now() + 600 }, org.secret),
    'has no exp': () => jwt({ ...good, exp: undefined }, org.secret),
    'has no iat': () => jwt({ ...good, iat: undefined }, org.secret),
    'was issued in the future': () => jwt({ ...good, iat: now() + 600 }, org.secret),
    'has a number as its subject': () => jwt({ ...good, sub: 7 }, org.secret),
    'has no e-mail': () => jwt({ ...good, email: undefined }, org.secret),
    'has an e-mail that is none': () => jwt({ ...good, email: 'org:acme' }, org.secret),
    'has an array for an e-mail': () => jwt({ ...good, email: [email] }, org.secret),
  };
  for (const [name, make] of Object.entries(attacks)) {
    test(name, async () => {
      const token = make();

      await assertTurnedAway(org, token);
    });
  }

  test('is signed with the public key as an HMAC secret', async () => {
    const { publicKey, privateKey } = rsa();
    const rsaOrg = await server.org();
    await rsaOrg.addKey({ pem: pem(publicKey), algorithm: 'RS256' });
    await assertTaken(rsaOrg, jwt(good, privateKey, { alg: 'RS256' }));

    const confused = jwt(good, pem(publicKey), { alg: 'HS256' });

    await assertTurnedAway(rsaOrg, confused);
  });

  test('is signed with PS256 where the key is for RS256', async () => {
    const { publicKey, privateKey } = rsa();
    const rsaOrg = await server.org();
    await rsaOrg.addKey({ pem: pem(publicKey), algorithm: 'RS256' });

    const token = jwt(good, privateKey, { alg: 'PS256' });

    await assertTurnedAway(rsaOrg, token);
  });

  test('names one key and is signed with another', async () => {
    const twoKeys = await server.org();
    const [first, second] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
    await twoKeys.addKey({ secret: first, algorithm: 'HS256', kid: 'first' });
    await twoKeys.addKey({ secret: second, algorithm: 'HS256', kid: 'second' });
    await assertTaken(twoKeys, jwt(good, first, { header: { kid: 'first' } }));

    const token = jwt(good, first, { header: { kid: 'second' } });

    await assertTurnedAway(twoKeys, token);
  });

  test('points at keys of its own, which are never fetched', async () => {
    let fetched = 0;
    const keys = createServer((_, response) => {
      fetched += 1;
      response.end(JSON.stringify({ keys: [own.publicKey.export({ format: 'jwk' })] }));
    });
    await new Promise((listening) => keys.listen(0, '127.0.0.1', listening));
    const jku = `http://127.0.0.1:${keys.address().port}/keys.json`;

    try {
      await assertTurnedAway(org, jwt(good, own.privateKey, { alg: 'RS256', header: { jku, x5u: jku } }));

      assert.equal(fetched, 0);
    } finally {
      keys.close();
    }
  });
});

describe('A token', () => {
  test('is needed', async () => {
    const org = await server.org();

    const none = await server.request(COUNT, { headers: { orgid: org.id } });
    const empty = await server.request(COUNT, { headers: { orgid: org.id, authorization: '' } });
    const basic = await server.request(COUNT, {
      headers: { orgid: org.id, authorization: 'Basic YWxpY2U6c2VjcmV0' },
    });

    for (const answer of [none, empty, basic]) assertProblem(answer, 401, 'unauthorized');
    assert.equal(await refusalOf(server.url, { orgId: org.id }), 'unauthorized');
    assert.equal(await refusalOf(server.url, { orgId: org.id, token: 7 }), 'unauthorized');
  });

  test('counts in the Authorization header and the auth payload only', async () => {
    const org = await server.org();
    const token = org.token({ email: 'alice@example.com' });
    const bearer = { authorization: `Bearer ${token}`, orgid: org.id };

    const inQuery = await server.request(`${COUNT}?token=${token}&access_token=${token}`, {
      headers: { orgid: org.id },
    });
    const socketQuery = await refusalOf(server.url, { orgId: org.id }, { query: { token } });
    const socketHeader = await refusalOf(server.url, { orgId: org.id }, { extraHeaders: bearer });

    assertProblem(inQuery, 401, 'unauthorized');
    assert.equal(socketQuery, 'unauthorized');
    assert.equal(socketHeader, 'unauthorized');
    assert.ok(!server.output.includes(token), 'a token was logged');
    assert.ok(!server.output.includes(org.secret), 'a secret was logged');
    assert.ok(!server.output.includes(server.operatorToken), 'the operator credential was logged');
  });

  test('may be signed with any HMAC length that its key says', async () => {
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      const org = await server.org();
      const secret = randomBytes(64).toString('hex');
      await org.addKey({ secret, algorithm: alg });

      await assertTaken(org, org.token({ email: 'alice@example.com' }, { key: secret, alg }));
    }
  });

  test('may be signed with any public-key algorithm that its key says', async () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const ed = generateKeyPairSync('ed25519');
    const pairs = { RS256: rsa(), RS512: rsa(), PS256: rsa(), ES256: ec, EdDSA: ed };
    for (const [alg, { publicKey, privateKey }] of Object.entries(pairs)) {
      const org = await server.org();
      await org.addKey({ pem: pem(publicKey), algorithm: alg });

      await assertTaken(org, org.token({ email: 'alice@example.com' }, { key: privateKey, alg }));
    }
  });

  test('must carry the issuer and the audience that its key asks for', async () => {
    const org = await server.org();
    const key = randomBytes(32).toString('hex');
    await org.addKey({
      secret: key,
      algorithm: 'HS256',
      issuer: 'https://id.example',
      audience: 'duologue',
    });
    const token = (claims) => org.token({ email: 'alice@example.com', ...claims }, { key });
    const iss = 'https://id.example';

    await assertTaken(org, token({ iss, aud: 'duologue' }));
    await assertTaken(org, token({ iss, aud: ['other', 'duologue'] }));
    for (const wrong of [
      { aud: 'duologue' },
      { iss: 'https://evil.example', aud: 'duologue' },
      { iss },
      { iss, aud: 'other' },
      { iss, aud: ['other'] },
    ]) {
      await assertTurnedAway(org, token(wrong));
    }
  });

  test('whose e-mail is unverified binds nothing', async () => {
    const org = await server.org();
    const email = 'owner@example.com';
    const impostor = org.user(email, { sub: 'impostor', email_verified: false });

    const answer = await impostor.get(COUNT);
    const owner = org.user(email, { sub: 'owner', email_verified: true });

    assertRefused(answer);
    await owner.signIn();
  });
});

describe('Keys', () => {
  test('rotate without an outage: old and new count together, until the old one is retired', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const secret = randomBytes(32).toString('hex');
    const keys = (await org.operator('GET', '/keys')).body;
    await org.addKey({ secret, algorithm: 'HS256', kid: 'next' });
    const renewed = org.token({ email: alice.email }, { key: secret, header: { kid: 'next' } });

    await assertTaken(org, alice.token);
    await assertTaken(org, renewed);
    const retired = await org.operator('DELETE', `/keys/${keys[0].id}`);

    assert.equal(retired.status, 204, retired.text);
    await assertTurnedAway(org, alice.token);
    await assertTaken(org, renewed);
  });

  test('count only between their not-before and not-after', async () => {
    const org = await server.org();
    const hours = (count) => new Date(Date.now() + count * 3_600_000).toISOString();
    const add = async (times) => {
      const key = randomBytes(32).toString('hex');
      await org.addKey({ secret: key, algorithm: 'HS256', ...times });
      return org.token({ email: 'alice@example.com' }, { key });
    };
    const current = await add({ notBefore: hours(-1), notAfter: hours(1) });
    const early = await add({ notBefore: hours(1) });
    const late = await add({ notAfter: hours(-1) });

    await assertTaken(org, current);
    await assertTurnedAway(org, early);
    await assertTurnedAway(org, late);
  });

  test('are never shown again', async () => {
    const org = await server.org();

    const list = await org.operator('GET', '/keys');

    assert.equal(list.body.length, 1);
    assert.ok(!list.text.includes(org.secret));
  });

  test('must be long enough, unless an operator insists', async () => {
    const org = await server.org();
    const short = { secret: 'too-short', algorithm: 'HS256' };

    const refused = await org.operator('POST', '/keys', short);
    await org.addKey({ ...short, allowShort: true });

    assertProblem(refused, 422, 'invalid');
    await assertTaken(org, org.token({ email: 'alice@example.com' }, { key: short.secret }));
  });

  test('may come from a JWKS URL', async (t) => {
    const { publicKey, privateKey } = rsa();
    const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] };
    const keys = createServer((_, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(jwks));
    });
    await new Promise((listening) => keys.listen(0, '127.0.0.1', listening));
    t.after(() => keys.close());
    const org = await server.org();
    await org.addKey({ jwks: `http://127.0.0.1:${keys.address().port}/jwks.json` });
    const token = (key, kid) =>
      org.token({ email: 'alice@example.com' }, { key, alg: 'RS256', header: { kid } });

    await assertTaken(org, token(privateKey, 'k1'));
    await assertTurnedAway(org, token(rsa().privateKey, 'k1'));
    await assertTurnedAway(org, token(privateKey, 'unknown'));
    await assertTurnedAway(
      org,
      jwt(org.claims({ email: 'a@example.com' }), pem(publicKey), { header: { kid: 'k1' } }),
    );
  });

  test('vouch for an admin only if they were made to', async () => {
    const org = await server.org();
    const claims = { roles: ['admin'], kind: 'staff' };
    const pretender = org.user('pretender@example.com', claims);
    const admin = await org.admin();

    const refused = await pretender.get('/admin/settings');
    const taken = await admin.get('/admin/settings');

    assertProblem(refused, 403, 'forbidden');
    assert.equal(taken.status, 200, taken.text);
  });
});

describe('The org of a caller', () => {
  const email = 'alice@example.com';

  test('is the one in the header, whose keys verify the token', async () => {
    const [ours, other] = [await server.org(), await server.org()];

    await assertTaken(ours, ours.token({ email }));
    await assertTurnedAway(other, ours.token({ email }));
    await assertTurnedAway({ server, id: 'no-such-org' }, ours.token({ email }));
  });

  test('is taken from the claim where no header names it', async () => {
    const org = await server.org();
    const token = org.token({ email, orgId: org.id });
    const headers = { authorization: `Bearer ${token}` };

    const answer = await server.request(COUNT, { headers });
    const anonymous = await server.request(COUNT, {
      headers: { authorization: `Bearer ${org.token({ email })}` },
    });

    assert.equal(answer.status, 200, answer.text);
    assertProblem(anonymous, 400, 'invalid');
    assert.equal(await refusalOf(server.url, { token: org.token({ email }) }), 'invalid');
    const byClaim = new User({ server, id: undefined }, email, token);
    (await byClaim.connect()).close();
  });

  test('may not differ from a verified claim', async () => {
    const secret = randomBytes(32).toString('hex');
    const [one, other] = [await server.org(), await server.org()];
    for (const org of [one, other]) await org.addKey({ secret, algorithm: 'HS256' });
    const token = jwt(one.claims({ email, orgId: one.id }), secret);

    await assertTaken(one, token);
    await assertTurnedAway(other, token, 403, 'forbidden');
  });

  test('must be in the token where two orgs hold the same key', async () => {
    const secret = randomBytes(32).toString('hex');
    const [one, other] = [await server.org(), await server.org()];
    await one.addKey({ secret, algorithm: 'HS256' });
    const unclaimed = jwt(one.claims({ email }), secret);
    await assertTaken(one, unclaimed);

    await other.addKey({ secret, algorithm: 'HS256' });

    await assertTurnedAway(one, unclaimed);
    await assertTurnedAway(other, unclaimed);
    await assertTaken(other, jwt(other.claims({ email, orgId: other.id }), secret));
  });

  test('may not be named twice', async () => {
    const [one, other] = [await server.org(), await server.org()];
    const lines = [
      `GET ${COUNT} HTTP/1.1`,
      'host: 127.0.0.1',
      'connection: close',
      `authorization: Bearer ${one.token({ email })}`,
      `orgid: ${one.id}`,
      `orgid: ${other.id}`,
    ];

    const received = await sendRaw(server.url, `${lines.join('\r\n')}\r\n\r\n`);

    assert.match(received, /^HTTP\/1\.1 4\d\d /);
  });

  test('shuts its doors and its sockets when suspended, and opens them again', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const socket = await alice.connect();

    await org.operator('PATCH', '', { suspended: true });

    await socket.ended();
    await assertTurnedAway(org, alice.token, 403, 'org_suspended');
    await org.operator('PATCH', '', { suspended: false });
    await assertTaken(org, alice.token);
  });
});

describe('The /client routes', () => {
  test('are for customers only', async () => {
    const org = await server.org();
    const customer = org.user('carol@example.com', { kind: 'customer' });
    const staff = org.user('sam@example.com', { kind: 'staff' });

    for (const path of [`${MESSAGES}/threads`, COUNT, '/community/notifications']) {
      assert.equal((await staff.get(path)).status, 200);
      assertProblem(await staff.get(`/client${path}`), 403, 'forbidden');
      assert.equal((await customer.get(`/client${path}`)).status, 200);
    }
    const body = { to: customer.email, content: 'hi', contentType: 'text' };
    assertProblem(await staff.post(`/client${MESSAGES}`, body), 403, 'forbidden');
  });
});

describe('The operator routes', () => {
  test('take the operator credential only', async () => {
    const org = await server.org();
    const admin = await org.admin();
    const wrong = { authorization: `Bearer ${'x'.repeat(48)}` };

    const none = await server.request('/admin/orgs');
    const guessed = await server.request('/admin/orgs', { headers: wrong });
    const byAdmin = await admin.get('/admin/orgs');

    assertProblem(none, 401, 'unauthorized');
    assertProblem(guessed, 401, 'unauthorized');
    assertRefused(byAdmin);
  });
});

describe('A subject and its e-mail', () => {
  const iss = 'https://id.example';
  const email = 'alice@example.com';

  test('belong together: another subject with the e-mail is 403 until an admin rebinds it', async () => {
    const org = await server.org();
    const admin = await org.admin();
    const first = org.token({ email, sub: 's1', iss });
    const second = org.token({ email, sub: 's2', iss });
    await assertTaken(org, first);
    await assertTurnedAway(org, second, 403, 'forbidden');

    const rebound = await admin.post('/admin/users/rebind', { email, issuer: iss, subject: 's2' });

    assert.ok(rebound.status >= 200 && rebound.status < 300, rebound.text);
    await assertTaken(org, second);
    await assertTurnedAway(org, first, 403, 'forbidden');
  });

  test('are rebound by an operator too', async () => {
    const org = await server.org();
    const second = org.token({ email, sub: 's2', iss });
    await assertTaken(org, org.token({ email, sub: 's1', iss }));

    const rebound = await org.operator('POST', '/users/rebind', { email, issuer: iss, subject: 's2' });

    assert.ok(rebound.status >= 200 && rebound.status < 300, rebound.text);
    await assertTaken(org, second);
  });

  test('of the same name under another issuer are another subject', async () => {
    const org = await server.org();
    await assertTaken(org, org.token({ email, sub: 's1', iss }));

    const other = org.token({ email, sub: 's1', iss: 'https://other.example' });

    await assertTurnedAway(org, other, 403, 'forbidden');
  });

  test('may part: a new e-mail moves with its subject if it is free', async () => {
    const org = await server.org();
    const [bob] = await org.people('bob');
    const before = org.user(email, { sub: 's1' });
    const sent = await before.send(bob, 'from my old address');

    const renamed = org.user('alice.new@example.com', { sub: 's1' });
    await renamed.signIn();

    assert.equal((await bob.message(sent.id)).from, renamed.email);
    assert.deepEqual(ids(await renamed.history(bob)), [sent.id]);
    assertProblem(await org.user(bob.email, { sub: 's1' }).get(COUNT), 403, 'forbidden');
  });

  test('part for good: whoever gets the old e-mail next does not inherit its messages', async () => {
    const org = await server.org();
    const [bob] = await org.people('bob');
    await org.user(email, { sub: 's1' }).send(bob, 'mine');
    await org.user('alice.new@example.com', { sub: 's1' }).signIn();

    const successor = org.user(email, { sub: 's9' });

    assert.deepEqual(await successor.threads(), []);
  });

  test('are upgraded once, from the e-mail as the subject to a real one of the same issuer', async () => {
    const org = await server.org();
    const [bob] = await org.people('bob');
    const plain = org.user(email, { sub: undefined, iss });
    const sent = await plain.send(bob, 'before the upgrade');

    assertProblem(
      await org.user(email, { sub: 's1', iss: 'https://other.example' }).get(COUNT),
      403,
      'forbidden',
    );
    const upgraded = org.user(email, { sub: 's1', iss });

    assert.deepEqual(ids(await upgraded.history(bob)), [sent.id]);
    assertProblem(await org.user(email, { sub: 's2', iss }).get(COUNT), 403, 'forbidden');
  });

  test('are compared without case and after NFC', async () => {
    const org = await server.org();
    const [bob] = await org.people('bob');
    const composed = org.user('Zo\u00eb@Example.com', { sub: 'zoe' });
    await composed.signIn();

    const sent = await bob.send('zoe\u0308@example.COM', 'one person');

    assert.equal((await composed.message(sent.id)).content, 'one person');
    assertProblem(await org.user('ZOE\u0308@example.com', { sub: 'eve' }).get(COUNT), 403, 'forbidden');
    assert.equal((await composed.get(threadPath('BOB@EXAMPLE.com'))).body.length, 1);
  });

  test('find what was waiting for the e-mail', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const sent = await alice.send('late@example.com', 'are you coming?');

    const late = org.user('late@example.com', { sub: 'late' });

    assert.deepEqual(ids(await late.history(alice)), [sent.id]);
    assert.equal(await late.unreadCount(), 1);
  });
});

describe('Revocation', () => {
  /** A token issued in the very second of the revocation may count as older than it. */
  const signedInAgain = (org, user) =>
    until('a fresh token is taken', async () => {
      const fresh = org.user(user.email, { iat: now() });
      return (await fresh.get(COUNT)).status === 200;
    });

  test('of a user ends their tokens and sockets, and nobody else’s', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const [aliceSocket, bobSocket] = [await alice.connect(), await bob.connect()];

    const revoked = await org.operator('POST', '/users/revoke', { email: alice.email });

    assert.ok(revoked.status >= 200 && revoked.status < 300, revoked.text);
    await aliceSocket.ended();
    await assertTurnedAway(org, alice.token);
    await signedInAgain(org, alice);
    assert.equal(bobSocket.connected, true);
    await assertTaken(org, bob.token);
  });

  test('of everyone ends all tokens and sockets of the org', async () => {
    const [org, other] = [await server.org(), await server.org()];
    const [alice, bob] = await org.people('alice', 'bob');
    const [stranger] = await other.people('alice');
    const sockets = [await alice.connect(), await bob.connect()];

    const revoked = await org.operator('POST', '/users/revoke', {});

    assert.ok(revoked.status >= 200 && revoked.status < 300, revoked.text);
    for (const socket of sockets) await socket.ended();
    for (const user of [alice, bob]) await assertTurnedAway(org, user.token);
    await signedInAgain(org, bob);
    await assertTaken(other, stranger.token);
  });

  test('is an admin’s right too', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const admin = await org.admin();

    const byCustomer = await bob.post('/admin/users/revoke', { email: alice.email });
    const byAdmin = await admin.post('/admin/users/revoke', { email: alice.email });

    assertProblem(byCustomer, 403, 'forbidden');
    assert.ok(byAdmin.status >= 200 && byAdmin.status < 300, byAdmin.text);
    await assertTurnedAway(org, alice.token);
  });
});

describe('A socket and the time of its token', { concurrency: true }, () => {
  const email = 'alice@example.com';

  test('it is ended at exp', async () => {
    const org = await server.org();
    const exp = now() + 3;
    const socket = await org.user(email, { exp }).connect();

    await socket.ended();

    const late = Date.now() - exp * 1000;
    assert.ok(late >= 0 && late < 5000, `${late} ms after exp`);
  });

  test('it is told 60 s before', async () => {
    const org = await server.org();
    const exp = now() + 63;
    const socket = await org.user(email, { exp }).connect();

    await socket.next('tokenExpiring');

    const left = exp * 1000 - Date.now();
    assert.ok(left <= 60_000 && left > 50_000, `${left} ms before exp`);
  });

  test('it is told at once where less than 60 s are left', async () => {
    const org = await server.org();

    const socket = await org.user(email, { exp: now() + 30 }).connect();

    await socket.next('tokenExpiring', undefined, 3000);
  });

  test('it lives on with a new token', async () => {
    const org = await server.org();
    const short = org.user(email, { exp: now() + 4 });
    const [extended, left] = [await short.connect(), await short.connect()];
    const renewed = org.token({ email });

    const ack = await extended.ask('authenticate', { token: renewed });
    await left.ended();

    assert.deepEqual(ack, { ok: true, exp: claimsOf(renewed).exp });
    assert.equal(extended.connected, true);
    assert.equal((await extended.ask('getOnlineUsers', null))[0].email, email);
  });

  test('it takes no token of another person and no bad one', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const socket = await alice.connect();

    const others = await socket.ask('authenticate', { token: bob.token });
    const forged = await socket.ask('authenticate', { token: jwt(org.claims({ email }), 'wrong') });

    assert.equal(others.ok, false);
    assertAckError(forged, 401, 'unauthorized');
  });

  test('it is ended at the exp of the first token when authenticate failed', async () => {
    const org = await server.org();
    const socket = await org.user(email, { exp: now() + 3 }).connect();

    await socket.ask('authenticate', { token: 'nonsense' });

    await socket.ended();
  });
});
