// Tells by its answer what a JavaScript guest finds: the content of the draft says what to try.
import { write } from 'duologue:plugin/log@0.1.0';
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
    if (!trial) return { tag: 'pass' };
    return { tag: 'modify', val: { content: trial(), attachments: undefined, metadata: [] } };
  },
};
