/** The reference peer and ours, each test on one and at once on the other. */
import { measure } from './load.mjs';
import { ORG, startOurs, startPeer } from './servers.mjs';

const ORGS = 100;

const tests = (run) => [
  // First, on fresh processes: memory of a socket.
  ['idle sockets', ['idle', '--sockets', `${run.idle}`, '--orgs', `${ORGS}`, '--storm'], { again: false }],
  ...[1, 16, 64, 256].map((clients) => [sends(clients), ['rest-send', '--clients', `${clients}`]]),
  ['50 pairs, 1 in flight', ['pairs', '--pairs', '50', '--window', '1']],
  ['50 pairs, 4 in flight', ['pairs', '--pairs', '50', '--window', '4']],
  [RATE, RATE_LOAD],
  ['seed', ['seed'], { again: false }],
  ...['threads', 'history', 'unread'].map((what) => [`read ${what}`, ['read', '--what', what]]),
  // Every connect is told to everyone.
  [
    'sockets in one org',
    ['idle', '--sockets', `${Math.min(1000, run.idle)}`, '--orgs', '1', '--hold', '3'],
    { again: false },
  ],
];

export const RATE = '100 pairs, 500/s';
export const RATE_LOAD = ['pairs', '--pairs', '100', '--rate', '500'];
export const sends = (clients) => `REST sends, ${clients} client${clients > 1 ? 's' : ''}`;

export async function measurePeers(run) {
  const peer = await startPeer(run);
  const orgs = [ORG, ...Array.from({ length: ORGS }, (_, number) => `${ORG}-${number}`)];
  const ours = await startOurs(run, orgs);
  for (const [test, args, options] of tests(run)) {
    const turn = async (round) => {
      for (const server of [peer, ours]) await measure(run, server, test, args, { ...options, round });
    };
    await (options?.again === false ? turn() : run.inRounds(turn));
  }
  await peer.stop();
  await ours.stop();
}
