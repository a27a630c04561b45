// @ts-check
// Refuses messages that hold the word which the org's admin has set as `word`.
import { get } from 'duologue:plugin/config@0.2.0';

const NO_WORD = 'set `word` to what is refused';

// Each hook is an object with the functions of its interface in `wit/deps/duologue`. With the types
// of `npm run types`, an editor knows them, and `npm run typecheck` checks them.

/** @type {typeof import('duologue:plugin/before-send@0.2.0')} */
export const beforeSend = {
  beforeSend(context, draft, previous) {
    const word = get('word');
    // What is thrown is the failure of the hook's result.
    if (!word) throw { tag: 'declined', val: NO_WORD };
    const isRefused = draft.body.content.toLowerCase().includes(word.toLowerCase());
    return { verdict: isRefused ? refusal() : { tag: 'pass' }, labels: [], explanation: undefined };
  },
};

/** @type {typeof import('duologue:plugin/lifecycle@0.2.0')} */
export const lifecycle = {
  /** Asked before the configuration counts; the admin reads what it throws. */
  check() {
    if (!get('word')) throw NO_WORD;
  },
};

/** @returns {import('duologue:plugin/types@0.2.0').Verdict} */
function refusal() {
  const userMessage = 'Please say it in other words.';
  return { tag: 'reject', val: { code: 'word', userMessage, details: undefined, retryAfterMs: undefined } };
}
