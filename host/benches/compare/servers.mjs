import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { startServer } from '../../../tests/harness/server.mjs';
import { within } from '../../../tests/harness/until.mjs';

const HERE = import.meta.dirname;
const BINARY = resolve(process.env.DUOLOGUE_BIN ?? `${HERE}/../../../target/release/duologue`);
const READY = /ready on http:\/\/(\S+)/;

/** The org that all load is put on; `-0` to `-99` are for sockets of many orgs. */
export const ORG = 'org-a';
export const SECRET = randomBytes(32).toString('hex');

/** Starts a program of the reference peer and answers it with its address, once that is known. */
async function startNode(script, env) {
  const child = spawn(process.execPath, [resolve(HERE, '../peer', script)], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((done) => child.once('exit', done));
  const ready = new Promise((found, failed) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const address = READY.exec(line)?.[1];
      if (address) found(address);
    });
    ended.then((code) => failed(new Error(`${script} ended (${code}) before it was ready`)));
  });
  const kill = () => child.kill();
  process.once('exit', kill);
  const stop = () => {
    process.off('exit', kill);
    kill();
    return within(15_000, `the end of ${script}`, ended);
  };
  return { address: await within(30_000, `the ready line of ${script}`, ready), pid: child.pid, stop };
}

/** Notes a server as one that is up, until it is stopped. */
function up(run, server) {
  const stop = async () => {
    run.servers.delete(noted);
    await server.stop();
  };
  const noted = { ...server, stop };
  run.servers.add(noted);
  return noted;
}

/** The reference peer; `hook`: it asks a webhook before each send. */
export async function startPeer(run, { hook = false } = {}) {
  const webhook = hook && (await startNode('webhook.mjs', {}));
  const peer = await startNode('server.mjs', {
    DATABASE_URL: await run.database('peer'),
    JWT_SECRET: SECRET,
    ...(webhook && { WEBHOOK_URL: `http://${webhook.address}/` }),
  });
  return up(run, {
    name: hook ? 'Node, webhook' : 'Node',
    address: peer.address,
    processes: { server: peer.pid, ...(webhook && { hook: webhook.pid }) },
    stop: () => Promise.all([peer.stop(), webhook && webhook.stop()]),
  });
}

/** Ours, as it comes, with those orgs in it, without limits. */
export async function startOurs(run, orgs) {
  const DATABASE_URL = await run.database('ours');
  const server = await startServer({
    binary: BINARY,
    env: { DATABASE_URL },
    args: ['--config', '/dev/null', '--log', 'warn'],
  });
  const made = {};
  for (const id of orgs) made[id] = await server.org({}, { id, secret: SECRET });
  return up(run, {
    name: 'ours',
    address: new URL(server.url).host,
    processes: { server: server.pid },
    orgs: made,
    stop: () => server.stop(),
  });
}
