// The link guard in JavaScript: the same configuration and the same decisions as ../../link-guard.
import { get } from 'duologue:plugin/config@0.2.0';
import { write } from 'duologue:plugin/log@0.2.0';

import { readConfig } from './config.js';
import { targets } from './links.js';

export const lifecycle = {
  check() {
    readConfig(get);
  },
};

export const beforeSend = {
  beforeSend(context, { body }) {
    const config = configured();
    const fields = fieldsWithLinks(config, body);
    if (fields.length === 0) return { verdict: { tag: 'pass' }, labels: [], explanation: null };
    const found = `a link elsewhere in ${fields.join(', ')}`;
    // Which field, never which link: the line may be read by others than the sender.
    write('info', found);
    const label = { name: 'links', score: null, severity: 'medium' };
    return { verdict: verdict(config, fields, found), labels: [label], explanation: found };
  },
};

/** A thrown text is the error of `lifecycle.check`; a hook's is a failure. */
function configured() {
  try {
    return readConfig(get);
  } catch (reason) {
    throw { tag: 'declined', val: String(reason) };
  }
}

function verdict({ mode, message }, fields, found) {
  switch (mode) {
    case 'hold':
      return { tag: 'hold', val: { reason: found, ttlSeconds: null, onExpiry: 'refuse' } };
    case 'label':
      return { tag: 'pass' };
    default: {
      const details = JSON.stringify({ fields });
      return { tag: 'reject', val: { code: 'links', userMessage: message, details, retryAfterMs: null } };
    }
  }
}

/** The fields with a link that may not be there, as clients name them. */
function fieldsWithLinks({ allows, endings }, body) {
  const leadsElsewhere = (target) => target === null || !allows(target);
  const fields = new Set();
  const look = (field, text) => {
    if (targets(text, endings).some(leadsElsewhere)) fields.add(field);
  };
  look('content', body.content);
  for (const { name, url } of body.attachments) {
    look('attachments', name);
    const [host = null] = targets(url, endings);
    if (leadsElsewhere(host)) fields.add('attachments');
  }
  for (const [, value] of body.metadata) look('metadata', value);
  return [...fields].sort();
}
