import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The sample plugin, as `make plugins` builds it. */
export const WORD_FILTER = readFileSync(
  resolve(
    process.env.DUOLOGUE_WORD_FILTER ??
      join(
        import.meta.dirname,
        '../../plugins/target/wasm32-unknown-unknown/release/word_filter.wasm',
      ),
  ),
);

/** The same plugin as another version: a custom section of its own gives it another SHA-256. */
export function versionOf(bytes, name) {
  const text = Buffer.from(name);
  const section = Buffer.concat([Buffer.from([0, text.length + 1, text.length]), text]);
  return Buffer.concat([bytes, section]);
}

/** An installed word filter, as the org's admin handles it. */
export class Filter {
  constructor(admin, name) {
    this.admin = admin;
    this.name = name;
    this.path = `/admin/plugins/${name}`;
  }

  /** Uploads, configures and activates one. */
  static async install(admin, name, config, onFault) {
    const filter = new Filter(admin, name);
    await filter.upload();
    await filter.configure(config);
    await filter.activate(onFault && { onFault });
    return filter;
  }

  upload(bytes = WORD_FILTER) {
    const headers = { 'content-type': 'application/wasm' };
    // A plugin in Python takes a server that is not built for release half a minute to compile.
    const withinMs = 300_000;
    return succeed(this.admin.request('PUT', this.path, { body: bytes, headers, withinMs }));
  }

  configure(config) {
    return succeed(this.admin.request('PUT', `${this.path}/config`, { body: config }));
  }

  activate(terms = {}) {
    return succeed(this.admin.post(`${this.path}/activate`, terms));
  }

  disable() {
    return succeed(this.admin.post(`${this.path}/disable`));
  }

  remove() {
    return succeed(this.admin.del(this.path));
  }
}

export async function succeed(pending) {
  const answer = await pending;
  assert.ok(answer.status >= 200 && answer.status < 300, `${answer.status} ${answer.text}`);
  return answer;
}

/** What an answer that succeeded says. */
export async function bodyOf(pending) {
  return (await succeed(pending)).body;
}

/** Two people and an admin of a new org, with a word filter named `guard` where a `config` is given. */
export async function moderated(server, config, settings) {
  const org = await server.org(settings);
  const [alice, bob] = await org.people('alice', 'bob');
  const admin = await org.admin();
  const filter = config && (await Filter.install(admin, 'guard', config));
  return { org, alice, bob, admin, filter };
}
