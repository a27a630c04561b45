import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem, ids } from './harness/assertions.mjs';
import { runBinary, startServer } from './harness/server.mjs';
import { claimsOf, now } from './harness/tokens.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, User } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const COUNT = `${MESSAGES}/unread-count`;

async function run(...args) {
  const result = await server.cli(...args);
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
  return result;
}

/** A command that must fail, and say why. */
async function fail(...args) {
  const result = await server.cli(...args);
  assert.equal(typeof result.code, 'number', `${args.join(' ')} did not end by itself`);
  assert.notEqual(result.code, 0, `${args.join(' ')}: ${result.stdout}`);
  assert.notEqual(result.stderr.trim(), '');
  assert.doesNotMatch(result.stderr, /panicked/);
  return result;
}

/** Another process changed the database: the running server learns of it, but not in the same instant. */
const soon = (what, user, status) => until(what, async () => (await user.get(COUNT)).status === status);

describe('Help', () => {
  test('names every command and says what it does', async () => {
    const pages = {
      '': ['serve', 'org', 'key', 'token', 'user'],
      serve: ['--listen', '--data-dir', '--config'],
      org: ['create', 'list', 'set', 'suspend'],
      'org create': ['--name', '--json'],
      'org set': ['--json'],
      'org suspend': ['--undo'],
      key: ['add', 'list', 'retire'],
      'key add': [
        '--secret',
        '--pem',
        '--jwks',
        '--alg',
        '--kid',
        '--may-admin',
        '--issuer',
        '--audience',
        '--not-before',
        '--not-after',
        '--allow-short',
        '--json',
      ],
      token: ['--email', '--sub', '--name', '--zoneinfo', '--kind', '--admin', '--ttl'],
      user: ['rebind', 'revoke'],
      'user rebind': ['--issuer', '--subject'],
      'user revoke': ['--everyone'],
    };

    for (const [page, words] of Object.entries(pages)) {
      const { code, stdout } = await runBinary([...page.split(' ').filter(Boolean), '--help']);
      assert.equal(code, 0, page);
      for (const word of words) assert.ok(stdout.includes(word), `${page} --help: ${word}\n${stdout}`);
    }
  });

  test('is where a wrong command ends', async () => {
    assert.match((await fail('frobnicate')).stderr, /frobnicate/);
    assert.match((await fail('org', 'create')).stderr, /usage/i);
    assert.match((await fail('token', 'some-org')).stderr, /--email/);
  });
});

describe('org', () => {
  test('create makes an org that list shows', async () => {
    const id = `cli-${randomUUID().slice(0, 8)}`;

    const created = (await run('org', 'create', id, '--name', 'Made by hand', '--json')).json;
    const listed = (await run('org', 'list', '--json')).json;

    assert.equal(created.orgId, id);
    assert.ok(
      listed.some((org) => org.orgId === id && org.name === 'Made by hand'),
      JSON.stringify(listed),
    );
    assert.equal((await server.operator('GET', `/admin/orgs/${id}`)).body.name, 'Made by hand');
  });

  test('create refuses a name that is taken or is none', async () => {
    const org = await server.org();

    assert.ok((await fail('org', 'create', org.id)).stderr.includes(org.id));
    await fail('org', 'create', 'not a name');
  });

  test('set changes settings, also of a running server', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');

    await run(
      'org',
      'set',
      org.id,
      'presence=off',
      'maxContentBytes=3',
      'limits.sendBurst=7',
      'httpAttachments=true',
      '--json',
    );

    const { settings } = (await org.operator('GET', '')).body;
    assert.deepEqual(
      [settings.presence, settings.maxContentBytes, settings.limits.sendBurst, settings.httpAttachments],
      ['off', 3, 7, true],
    );
    await until('the server keeps to it', async () => {
      const body = { to: 'bob@example.com', content: 'long', contentType: 'text' };
      return (await alice.post(MESSAGES, body)).status === 422;
    });
  });

  test('set refuses what is no setting', async () => {
    const org = await server.org();

    assert.match((await fail('org', 'set', org.id, 'presense=off')).stderr, /presense/);
    await fail('org', 'set', org.id, 'presence=maybe');
    await fail('org', 'set', org.id, 'limits.sendBurst=many');
    await fail('org', 'set', 'no-such-org', 'presence=off');
  });

  test('suspend shuts an org and --undo opens it, also of a running server', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const socket = await alice.connect();

    await run('org', 'suspend', org.id);
    await soon('the org is shut', alice, 403);
    await socket.ended();
    assertProblem(await alice.get(COUNT), 403, 'org_suspended');

    await run('org', 'suspend', org.id, '--undo');
    await soon('the org is open', alice, 200);
  });
});

describe('key', () => {
  const email = 'alice@example.com';

  test('add makes a random secret and shows it this once', async () => {
    const org = await server.org();

    const added = (await run('key', 'add', org.id, '--kid', 'fresh', '--json')).json;
    const listed = await run('key', 'list', org.id, '--json');

    assert.deepEqual([added.kid, added.algorithm], ['fresh', 'HS256']);
    assert.ok(added.secret.length >= 32);
    assert.ok(listed.json.some((key) => key.id === added.id));
    assert.ok(!listed.stdout.includes(added.secret));
    const user = org.user(email, {}, { key: added.secret, header: { kid: 'fresh' } });
    await soon('the key counts', user, 200);
  });

  test('add takes a secret, and a short one only on demand', async () => {
    const org = await server.org();
    const secret = randomBytes(32).toString('hex');

    const added = (await run('key', 'add', org.id, '--secret', secret, '--alg', 'HS512', '--json')).json;
    await fail('key', 'add', org.id, '--secret', 'short');
    await run('key', 'add', org.id, '--secret', 'short', '--allow-short');

    assert.equal(added.algorithm, 'HS512');
    assert.equal(added.secret, undefined);
    await soon('the long key counts', org.user(email, {}, { key: secret, alg: 'HS512' }), 200);
    await soon('the short key counts', org.user(email, {}, { key: 'short' }), 200);
  });

  test('add takes a public key from a file, with its terms', async () => {
    const org = await server.org();
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const file = join(server.dataDir, `${org.id}.pem`);
    writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }));

    await run(
      'key',
      'add',
      org.id,
      '--pem',
      file,
      '--alg',
      'EdDSA',
      '--issuer',
      'https://id.example',
      '--audience',
      'duologue',
      '--may-admin',
      '--json',
    );

    const claims = { iss: 'https://id.example', aud: 'duologue', roles: ['admin'], kind: 'staff' };
    const signed = { key: privateKey, alg: 'EdDSA' };
    const admin = org.user('admin@example.com', claims, signed);
    await soon('the key counts', admin, 200);
    assert.equal((await admin.get('/admin/settings')).status, 200);
    assertProblem(await org.user(email, { ...claims, aud: 'x' }, signed).get(COUNT), 401, 'unauthorized');
  });

  test('add takes times between which the key counts', async () => {
    const org = await server.org();
    const past = new Date(Date.now() - 3_600_000).toISOString();
    const key = randomBytes(32).toString('hex');
    const marker = randomBytes(32).toString('hex');

    await run('key', 'add', org.id, '--secret', key, '--not-after', past);
    await run('key', 'add', org.id, '--secret', marker, '--not-before', past);

    await soon('the later key counts', org.user(email, {}, { key: marker }), 200);
    assertProblem(await org.user(email, {}, { key }).get(COUNT), 401, 'unauthorized');
  });

  test('add refuses what is no key', async () => {
    const org = await server.org();
    const file = join(server.dataDir, `${org.id}.txt`);
    writeFileSync(file, 'hello');

    await fail('key', 'add', org.id, '--pem', file);
    await fail('key', 'add', org.id, '--pem', join(server.dataDir, 'no-such-file'));
    await fail('key', 'add', org.id, '--secret', 'x'.repeat(40), '--alg', 'none');
    await fail('key', 'add', 'no-such-org');
  });

  test('retire ends a key', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const [key] = (await run('key', 'list', org.id, '--json')).json;

    await run('key', 'retire', org.id, key.id);

    await soon('the key counts no more', alice, 401);
    await fail('key', 'retire', org.id, randomUUID());
  });
});

describe('token', () => {
  test('prints a token that works, and nothing else', async () => {
    const org = await server.org();

    const { stdout } = await run(
      'token',
      org.id,
      '--email',
      'alice@example.com',
      '--name',
      'Alice A.',
      '--ttl',
      '1h',
    );
    const token = stdout.trim();
    const alice = new User(org, 'alice@example.com', token);

    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const claims = claimsOf(token);
    assert.deepEqual([claims.email, claims.name, claims.exp - claims.iat], [alice.email, 'Alice A.', 3600]);
    assert.ok(claims.iat <= now());
    await alice.signIn();
    (await alice.connect()).close();
  });

  test('makes staff and other subjects', async () => {
    const org = await server.org();

    const { stdout } = await run(
      'token',
      org.id,
      '--email',
      'sam@example.com',
      '--sub',
      's-1',
      '--kind',
      'staff',
      '--zoneinfo',
      'Pacific/Kiritimati',
    );
    const staff = new User(org, 'sam@example.com', stdout.trim());

    assert.equal(claimsOf(staff.token).sub, 's-1');
    assert.equal(claimsOf(staff.token).zoneinfo, 'Pacific/Kiritimati');
    await staff.signIn();
    assertProblem(await staff.get(`/client${COUNT}`), 403, 'forbidden');
  });

  test('makes an admin where a key may vouch for one', async () => {
    const org = await server.org();
    await run('key', 'add', org.id, '--may-admin');

    const { stdout } = await run('token', org.id, '--email', 'admin@example.com', '--admin');
    const admin = new User(org, 'admin@example.com', stdout.trim());

    await soon('the key counts', admin, 200);
    assert.equal((await admin.get('/admin/settings')).status, 200);
  });

  test('is made for no org that does not exist', async () => {
    assert.match((await fail('token', 'no-such-org', '--email', 'a@example.com')).stderr, /no-such-org/);
  });
});

describe('user', () => {
  test('rebind gives an e-mail to another subject', async () => {
    const org = await server.org();
    const iss = 'https://id.example';
    const email = 'alice@example.com';
    const second = org.user(email, { sub: 's2', iss });
    await org.user(email, { sub: 's1', iss }).signIn();
    assertProblem(await second.get(COUNT), 403, 'forbidden');

    await run('user', 'rebind', org.id, email, '--issuer', iss, '--subject', 's2');

    await soon('the second subject is in', second, 200);
  });

  test('revoke ends the tokens and sockets of one user, or of everyone', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const [hers, his] = [await alice.connect(), await bob.connect()];

    await run('user', 'revoke', org.id, alice.email);
    await soon('alice is out', alice, 401);
    await hers.ended();
    assert.equal((await bob.get(COUNT)).status, 200);

    await run('user', 'revoke', org.id, '--everyone');
    await soon('bob is out', bob, 401);
    await his.ended();
  });

  test('revoke asks for a user or for everyone', async () => {
    const org = await server.org();

    await fail('user', 'revoke', org.id);
  });
});

test('a whole life from the command line alone: org, key, tokens, a message', async () => {
  const id = `life-${randomUUID().slice(0, 8)}`;
  await run('org', 'create', id);
  await run('key', 'add', id);
  const sign = async (email) =>
    new User({ server, id }, email, (await run('token', id, '--email', email)).stdout.trim());
  const [alice, bob] = [await sign('alice@example.com'), await sign('bob@example.com')];
  await soon('the new org serves', alice, 200);

  const sent = await alice.send(bob, 'hello');

  assert.deepEqual(ids(await bob.history(alice)), [sent.id]);
});
