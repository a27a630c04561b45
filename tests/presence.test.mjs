// Comings and goings, told a few at a time.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { startServer } from './harness/server.mjs';

// So long that only the third one ends the wait.
const directory = mkdtempSync(join(tmpdir(), 'duologue-presence-'));
const config = join(directory, 'config.toml');
writeFileSync(config, '[presence]\npause_ms = 600000\nat_once = 3\n');
const server = await startServer({ args: ['--config', config] });
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

test('an org that was told who came is told of the next ones together, others at once', async () => {
  const [org, other] = [await server.org(), await server.org()];
  const [alice, bob, carol, dave] = await org.people('alice', 'bob', 'carol', 'dave');
  const [erin] = await other.people('erin');
  const hers = await alice.connect();
  const told = () => hers.all('userOnline').map(({ email }) => email);
  await hers.next('userOnline', ({ email }) => email === alice.email);

  const barrier = async (user) => {
    await user.connect();
    const { id } = await user.send(alice, 'barrier');
    await hers.next('newMessage', (message) => message.id === id);
  };
  await barrier(bob);
  await barrier(carol);
  const early = told();
  const erins = await erin.connect();
  await erins.next('userOnline', ({ email }) => email === erin.email);
  await dave.connect();
  await hers.next('userOnline', ({ email }) => email === dave.email);

  assert.deepEqual(early, [alice.email]);
  assert.deepEqual(told(), [alice.email, bob.email, carol.email, dave.email]);
});
