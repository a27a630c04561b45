import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Filter, moderated, succeed } from './word_filter.mjs';

const ROOT = join(import.meta.dirname, '../..');

/** A sample plugin in Rust, as `plugins/build.sh` builds it. */
export const inRust = (name) =>
  readFileSync(join(ROOT, 'plugins/target/wasm32-unknown-unknown/release', `${name}.wasm`));

/** One in another language, as `host/tools/runtime-guests.sh` builds it. */
export const inLanguage = (name, language) =>
  readFileSync(join(ROOT, 'target/guests', `${name}-${language}.wasm`));

/** Two people and an admin of a new org, and between them a sample that is active. */
export async function guarded(server, bytes, config, { grants = {}, secrets = {} } = {}) {
  const org = await moderated(server);
  const plugin = await uploaded(org.admin, bytes, { grants, secrets });
  await plugin.configure(config);
  await plugin.activate();
  return { ...org, plugin };
}

/** A sample that decides nothing yet. */
export async function uploaded(admin, bytes, { grants = {}, secrets = {} } = {}) {
  const plugin = new Filter(admin, 'sample');
  await plugin.upload(bytes);
  await succeed(admin.request('PUT', `${plugin.path}/grants`, { body: grants }));
  for (const [name, body] of Object.entries(secrets)) {
    await succeed(admin.request('PUT', `${plugin.path}/secrets/${name}`, { body }));
  }
  return plugin;
}

/** The newest lines that a plugin wrote. */
export async function linesOf(plugin) {
  const { body } = await succeed(plugin.admin.get(`${plugin.path}/log`));
  return body.lines.map(({ text }) => text);
}
