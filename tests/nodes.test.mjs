// Two servers on one database.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { startPostgres } from './harness/postgres.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, User } from './harness/user.mjs';
import { Filter } from './harness/word_filter.mjs';

const postgres = await startPostgres();
const env = { DATABASE_URL: postgres.url };
const one = await startServer({ env });
const two = await startServer({ env });
after(async () => {
  await Promise.all([one.stop(), two.stop()]);
  await postgres.remove();
});

const text = (to, content) => ({ to: to.email, content, contentType: 'text' });

/** The same person, at the other server. */
const elsewhere = (user) => new User({ ...user.org, server: two }, user.email, user.token);

/** Sends until the answer has the status. Without a hint it would take up to 15 s. */
const answers = (status, send, seconds = 5) =>
  until(
    `the other server answers ${status}`,
    async () => {
      const answer = await send();
      return answer.status === status && answer;
    },
    seconds * 1000,
  );

describe('A plugin on two servers', () => {
  test('is live, changed and gone at the other one by a hint', async () => {
    const org = await one.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const admin = await org.admin();
    const there = elsewhere(alice);
    const send = () => there.post(MESSAGES, text(bob, 'darn'));
    // The other server knows the org by now.
    assert.equal((await send()).status, 201);
    const filter = new Filter(admin, 'words');
    await filter.upload();
    await filter.configure({ words: 'darn', mode: 'reject' });
    // The first time takes longer: the other server compiles what it has not had yet.
    await filter.activate();
    const refused = await answers(422, send, 20);

    assertProblem(refused, 422, 'rejected');
    await filter.configure({ words: 'drat', mode: 'reject' });
    await answers(201, send);
    await filter.configure({ words: 'darn', mode: 'reject' });
    await answers(422, send);
    await filter.disable();
    await answers(201, send);
    await filter.activate();
    await answers(422, send);
    await filter.remove();
    await answers(201, send);
  });
});
