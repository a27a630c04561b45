import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';

const WORD_FILTER = readFileSync(
  resolve(
    process.env.DUOLOGUE_WORD_FILTER ??
      join(
        import.meta.dirname,
        '../plugins/target/wasm32-unknown-unknown/release/word_filter.wasm',
      ),
  ),
);
const PLUGIN = '/admin/plugins/zap-words';
const SECRETS = `${PLUGIN}/secrets`;
const VALUE = 'a-value-that-nobody-may-see-again';

const server = await startServer();
after(() => server.stop());

/** The admin of a new org that has a plugin. */
async function admin() {
  const admin = await (await server.org()).admin();
  const headers = { 'content-type': 'application/wasm' };
  const uploaded = await admin.request('PUT', PLUGIN, { body: WORD_FILTER, headers });
  assert.equal(uploaded.status, 201, uploaded.text);
  return admin;
}

const put = (user, name, body) => user.request('PUT', `${SECRETS}/${name}`, { body });
const list = (user) => user.request('GET', SECRETS);
const remove = (user, name) => user.request('DELETE', `${SECRETS}/${name}`);

describe('A secret of a plugin', () => {
  test('is set, listed without its value, replaced and removed', async () => {
    const someone = await admin();

    const made = await put(someone, 'token', { value: VALUE, hosts: ['API.example.com'] });
    const again = await put(someone, 'token', { value: `${VALUE}2`, hosts: ['*.example.org:8443'] });
    const listed = await list(someone);
    const plugin = await someone.request('GET', PLUGIN);

    assert.deepEqual([made.status, again.status, listed.status], [201, 200, 200]);
    assert.deepEqual(Object.keys(made.body).sort(), ['createdAt', 'hosts', 'name']);
    assert.deepEqual(made.body.hosts, ['api.example.com']);
    assert.deepEqual(
      listed.body.map(({ name, hosts }) => [name, hosts]),
      [['token', ['*.example.org:8443']]],
    );
    for (const answer of [made, again, listed, plugin]) assert.ok(!answer.text.includes(VALUE));
    assert.ok(!server.output.includes(VALUE), 'nor is it in the log');
    assert.equal((await remove(someone, 'token')).status, 204);
    assert.deepEqual((await list(someone)).body, []);
    assertProblem(await remove(someone, 'token'), 404, 'not_found');
  });

  test('is for the admins of its own org', async () => {
    const [ours, theirs] = [await admin(), await (await server.org()).admin()];
    const [alice] = await server.people('alice');
    const secret = { value: VALUE, hosts: ['a.example'] };
    assert.equal((await put(ours, 'token', secret)).status, 201);

    for (const answer of [await put(theirs, 'token', secret), await list(theirs), await remove(theirs, 'token')]) {
      assertProblem(answer, 404, 'not_found');
    }
    assertProblem(await put(alice, 'token', secret), 403, 'forbidden');
    assertProblem(await list(alice), 403, 'forbidden');
    assert.equal((await list(ours)).body.length, 1);
  });

  test('that cannot be one is refused with what is wrong, and without its value', async () => {
    const someone = await admin();

    for (const [name, body, field] of [
      ['token', { value: `${VALUE}\n`, hosts: ['a.example'] }, 'value'],
      ['token', { value: '', hosts: ['a.example'] }, 'value'],
      ['token', { value: VALUE, hosts: [] }, 'hosts'],
      ['token', { value: VALUE, hosts: ['10.0.0.1'] }, 'hosts'],
      ['Token', { value: VALUE, hosts: ['a.example'] }, 'secret'],
      ['token', { value: VALUE }, 'body'],
    ]) {
      const answer = await put(someone, name, body);
      assertProblem(answer, 422, 'invalid');
      assert.equal(answer.body.errors[0].field, field);
      assert.ok(!answer.text.includes(VALUE), answer.text);
    }
    assert.deepEqual((await list(someone)).body, []);
  });

  test('lies under a key of the data directory that only the server reads', async () => {
    const someone = await admin();
    assert.equal((await put(someone, 'token', { value: VALUE, hosts: ['a.example'] })).status, 201);

    const key = join(server.dataDir, 'secrets.key');

    assert.equal(statSync(key).mode & 0o777, 0o600);
    assert.equal(Buffer.from(readFileSync(key, 'utf8'), 'base64').length, 32);
  });
});
