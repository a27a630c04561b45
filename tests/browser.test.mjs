import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { sendRaw } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

describe('A browser', () => {
  const origin = 'https://app.example';
  const headers = {
    origin,
    'access-control-request-method': 'PATCH',
    'access-control-request-headers': 'orgid, authorization, content-type, idempotency-key',
  };
  const listed = (answer, name) =>
    (answer.headers.get(name) ?? '').split(',').map((word) => word.trim().toLowerCase());
  const admits = (answer) => ['*', origin].includes(answer.headers.get('access-control-allow-origin'));

  test('may call from any origin, without cookies', async () => {
    const [alice] = await server.people('alice', 'bob');

    const preflight = await server.request(MESSAGES, { method: 'OPTIONS', headers });
    const answer = await alice.get(`${MESSAGES}/threads`, { origin });

    assert.ok(preflight.status === 200 || preflight.status === 204, String(preflight.status));
    assert.ok(admits(preflight));
    for (const method of ['get', 'post', 'patch', 'delete']) {
      assert.ok(listed(preflight, 'access-control-allow-methods').includes(method), method);
    }
    for (const name of ['orgid', 'authorization', 'content-type', 'idempotency-key']) {
      assert.ok(listed(preflight, 'access-control-allow-headers').includes(name), name);
    }
    assert.ok(admits(answer));
    for (const name of ['link', 'x-next-cursor', 'retry-after']) {
      assert.ok(listed(answer, 'access-control-expose-headers').includes(name), name);
    }
    assert.equal(answer.headers.get('access-control-allow-credentials'), null);
    assert.equal(answer.headers.get('set-cookie'), null);
  });

  test('may open a polling socket from any origin', async () => {
    const answer = await server.request('/socket.io/?EIO=4&transport=polling', { headers: { origin } });

    assert.equal(answer.status, 200);
    assert.ok(admits(answer));
  });

  test('opens no socket where an org names origins and it claims to be of two', async () => {
    const [alice] = await (await server.org({ origins: [origin] })).people('alice', 'bob');
    const open = async (origins) => {
      const lines = origins.map((it) => `Origin: ${it}\r\n`).join('');
      const head = `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`;
      const [, sid] = /"sid":"([^"]+)"/.exec(await sendRaw(server.url, `${head}${lines}\r\n`));
      const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      const auth = JSON.stringify({ token: alice.token, orgId: alice.org.id });
      await server.request(path, { method: 'POST', body: `40/community-chat,${auth}` });
      let answer = '';
      while (!answer.includes('community-chat')) answer = (await server.request(path)).text;
      return answer;
    };

    assert.match(await open([origin]), /40\/community-chat,/);
    assert.match(await open([origin, 'https://evil.example']), /44\/community-chat,.*forbidden/);
    assert.match(await open([origin, origin]), /44\/community-chat,.*forbidden/);
  });

  test('may read answers at the origins that an org names, and at no other', async () => {
    const [alice] = await (await server.org({ origins: [origin] })).people('alice', 'bob');

    const named = await alice.get(`${MESSAGES}/threads`, { origin });
    const other = await alice.get(`${MESSAGES}/threads`, { origin: 'https://evil.example' });

    assert.ok(admits(named));
    const allowed = other.headers.get('access-control-allow-origin');
    assert.ok(allowed !== '*' && allowed !== 'https://evil.example', allowed);
  });

  test('reaches /admin from named origins only', async () => {
    const org = await server.org();
    const admin = await org.admin();

    const unnamed = await admin.get('/admin/settings', { origin });
    await org.set({ origins: [origin] });
    const named = await admin.get('/admin/settings', { origin });

    assert.ok(!admits(unnamed));
    assert.ok(admits(named));
  });
});
