import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeDataDir, startServer } from './server.mjs';
import { Filter, moderated, succeed } from './word_filter.mjs';

const ROOT = join(import.meta.dirname, '../..');

/** Long limits, so that a busy machine makes no plugin fail. */
const PATIENT = `
[plugins]
call_ms = 10000
call_cpu_ms = 5000
chain_ms = 20000
http_call_ms = 10000
http_chain_ms = 20000
wait_ms = 10000
compile_ms = 300000
compile_cpu_ms = 300000
`;

/** A server whose plugins may take long; `settings` are more lines of its configuration. */
export async function startPatient(settings = '') {
  const folder = makeDataDir();
  const file = join(folder, 'duologue.toml');
  writeFileSync(file, PATIENT + settings);
  // Read again at a restart.
  process.once('exit', () => rmSync(folder, { recursive: true }));
  return startServer({ args: ['--config', file] });
}

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
