import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Filter, bodyOf } from './word_filter.mjs';

/** A plugin that decides how recipients are told, as `make guests` builds it. */
const NOTIFIER = readFileSync(join(import.meta.dirname, '../../target/guests/notify.wasm'));

/**
 * Installs it: it does what each message says (`delay 1000`), or always what is given here.
 * See host/tests/it/guests/notify/plugin.js.
 */
export async function installNotifier(admin, name, does) {
  const plugin = new Filter(admin, name);
  await plugin.upload(NOTIFIER);
  await bodyOf(admin.request('PUT', `${plugin.path}/grants`, { body: { history: {}, kv: {}, messages: {} } }));
  if (does) await plugin.configure({ does });
  await plugin.activate();
  return plugin;
}

/** Two people and an admin of a new org in which plugins decide, one for each of the deeds. */
export async function notified(server, { settings, deeds = [undefined], claims = {} } = {}) {
  const org = await server.org(settings);
  const [alice, bob] = [org.user('alice@example.com'), org.user('bob@example.com', claims)];
  for (const user of [alice, bob]) await user.signIn();
  const admin = await org.admin();
  const plugins = [];
  for (const [index, does] of deeds.entries()) plugins.push(await installNotifier(admin, `notifier-${index}`, does));
  return { org, alice, bob, admin, plugins };
}
