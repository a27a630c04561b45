// Does with a notification what its configuration says under `does`, else what the message says:
// a word, and what it takes.
import { get } from 'duologue:plugin/config@0.2.0';
import { previous } from 'duologue:plugin/history@0.2.0';
import { increment } from 'duologue:plugin/kv@0.2.0';
import { send } from 'duologue:plugin/messages@0.2.0';

const NO_WORDS = { title: null, body: null, data: null, priority: null };
const rewrite = (words) => ({ tag: 'rewrite', val: { ...NO_WORDS, ...words } });
const deliver = { tag: 'deliver' };

/** What the server says to a bot. */
function trySending() {
  try {
    const body = { content: 'hi', contentType: 'text', attachments: [], metadata: [] };
    return send({ to: 'bob@example.com', replyTo: null, body });
  } catch (error) {
    return error.payload.tag;
  }
}

const DEEDS = {
  rewrite: (title) => rewrite({ title, body: 'rewritten', data: '{"a":1}', priority: 'high' }),
  mark: (mark, { notification }) => rewrite({ title: (notification.title ?? '') + mark }),
  suppress: (reason) => ({ tag: 'suppress', val: reason }),
  delay: (ms, { call }) => ({ tag: 'delay', val: call.nowMs + Number(ms) }),
  show: (_, { call, notification, recipient }) =>
    rewrite({ data: JSON.stringify({ call, notification, recipient }) }),
  history: () => rewrite({ body: JSON.stringify(previous().map(({ fromCaller, content }) => [fromCaller, content])) }),
  // Counts its calls.
  count: () => rewrite({ title: `call ${increment('calls', 1, null)}` }),
  send: () => rewrite({ title: trySending() }),
  crash: () => missing,
  spin() {
    for (;;);
  },
};

export const onNotify = {
  onNotify(call, notification, recipient) {
    const [word, ...rest] = (get('does') ?? notification.message.body.content).split(' ');
    const given = rest.join(' ');
    if (word === 'ways') return { verdict: deliver, channels: given.split(',').filter(Boolean) };
    const verdict = DEEDS[word]?.(given, { call, notification, recipient }) ?? deliver;
    return { verdict, channels: null };
  },
};
