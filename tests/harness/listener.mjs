import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { bodyOf, succeed } from './word_filter.mjs';

/** A guest that says in its log what it hears, and answers as it is configured; `make guests` builds it. */
const LISTENER = readFileSync(join(import.meta.dirname, '../../target/guests/listener.wasm'));

/** Installs one that may send messages. */
export async function listen(admin, name, config = {}) {
  const path = `/admin/plugins/${name}`;
  const headers = { 'content-type': 'application/wasm' };
  const uploaded = await bodyOf(admin.request('PUT', path, { body: LISTENER, headers }));
  await succeed(admin.request('PUT', `${path}/grants`, { body: { messages: {} } }));
  await succeed(admin.request('PUT', `${path}/config`, { body: config }));
  await succeed(admin.post(`${path}/activate`));
  return uploaded;
}

/** The lines that it wrote since this server put it in place. */
export async function lines(admin, name) {
  const log = await bodyOf(admin.get(`/admin/plugins/${name}/log`));
  return log.lines.map(({ text }) => text);
}
