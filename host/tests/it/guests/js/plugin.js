// Tells by its answer what a JavaScript guest finds: the content of the draft says what to try.
import { write } from 'duologue:plugin/log@0.2.0';
import { getRandomU64 } from 'wasi:random/random@0.2.3';

// The tool has neither a console nor, since it ran `Math.random` when it built the component,
// numbers that differ from call to call.
globalThis.console = { log: (text) => write('info', text), error: (text) => write('warn', text) };
Math.random = () => Number(getRandomU64()) / 2 ** 64;

const TRIALS = {
  time: () => `${Date.now()} ${Date.now()}`,
  random: () => String(Math.random()),
  print() {
    console.log('printed by JavaScript');
    console.error('complained by JavaScript');
    return 'printed';
  },
  crash: () => missing,
};

export const beforeSend = {
  beforeSend(context, draft) {
    const trial = TRIALS[draft.body.content];
    const patch = () => ({ content: trial(), attachments: undefined, metadata: [] });
    const verdict = trial ? { tag: 'modify', val: patch() } : { tag: 'pass' };
    return { verdict, labels: [], explanation: undefined };
  },
};
