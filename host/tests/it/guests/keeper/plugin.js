// Refuses what it has let pass before. Of a draft that begins with `compare` it tries to set the
// key that follows, by revisions, and refuses where one is not what it should be.
import { get, increment, set } from 'duologue:plugin/kv@0.2.0';

const SEEN = new Uint8Array([1]);

const reject = (code) => ({
  tag: 'reject',
  val: { code, userMessage: undefined, details: undefined, retryAfterMs: undefined },
});

function passOnce(content) {
  increment('asked', 1, undefined);
  const key = `seen ${content}`;
  if (get(key)) return reject('repeat');
  set(key, SEEN, undefined, undefined);
  return { tag: 'pass' };
}

/** Whether a write that expects this revision is refused. */
function conflicts(key, expected) {
  try {
    set(key, SEEN, undefined, expected);
    return false;
  } catch (error) {
    return error.payload.tag === 'conflict';
  }
}

function compareAndSet(key) {
  const stored = get(key)?.revision ?? 0;
  const first = set(key, SEEN, undefined, stored);
  const second = set(key, SEEN, undefined, first);
  if (new Set([stored, first, second]).size < 3) return reject('same_revision');
  if (get(key).revision !== second) return reject('another_revision');
  if (!conflicts(key, stored) || !conflicts(key, first)) return reject('no_conflict');
  return { tag: 'pass' };
}

export const beforeSend = {
  beforeSend(context, { body }) {
    const [word, key] = body.content.split(' ');
    const verdict = word === 'compare' ? compareAndSet(key) : passOnce(body.content);
    return { verdict, labels: [], explanation: undefined };
  },
};
