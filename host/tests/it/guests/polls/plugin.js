// Owns the content type `acme.poll` and tightens `text`, for the tests at the server's doors. What
// it makes of a content follows from the content, and from its configuration.
import { get } from 'duologue:plugin/config@0.2.0';

const SCHEMA = {
  type: 'object',
  required: ['question', 'options'],
  additionalProperties: false,
  properties: {
    question: { type: 'string', minLength: 1 },
    options: {
      type: 'array',
      minItems: 2,
      maxItems: 10,
      items: { type: 'string', pattern: '^[a-z ]+$' },
    },
  },
};

const invalid = (...violations) => ({ tag: 'invalid', val: violations });
const valid = (accepted) => ({ tag: 'valid', val: { content: undefined, preview: undefined, ...accepted } });

function poll(content) {
  const { question, options } = JSON.parse(content);
  if (question === 'crash?') return missing;
  const twice = options.findIndex((option, n) => options.indexOf(option) < n);
  if (twice >= 0) return invalid({ path: `/options/${twice}`, message: 'must differ from the others' });
  const tidy = JSON.stringify({ question: question.trim(), options });
  return valid({ content: tidy, preview: `${get('label') ?? 'Poll'}: ${question.trim()}` });
}

function text(content) {
  const shouts = content === content.toUpperCase() && content !== content.toLowerCase();
  return shouts ? invalid({ path: '', message: 'must not be all capitals' }) : valid();
}

export const validateContent = {
  contentTypes: () => [
    { name: 'acme.poll', schema: JSON.stringify(SCHEMA) },
    { name: 'text', schema: undefined },
  ],
  validate: (context, body) => (body.contentType === 'text' ? text(body.content) : poll(body.content)),
};
