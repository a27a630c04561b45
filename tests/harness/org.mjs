import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';

import { jwt, now } from './tokens.mjs';
import { User } from './user.mjs';

export const NO_LIMITS = {
  sendBurst: 0,
  sendPerSecond: 0,
  sendPerMinute: 0,
  connectBurst: 0,
  connectPerMinute: 0,
  eventBurst: 0,
  eventPerSecond: 0,
  readBurst: 0,
  readPerSecond: 0,
  socketsPerUser: 0,
  newPeersPerDay: 0,
  pendingSendsPerSocket: 0,
};

export async function createOrg(server, settings, names) {
  const { id = `org-${randomUUID().slice(0, 13)}`, secret = randomBytes(32).toString('hex') } = names;
  const limits = { ...NO_LIMITS, ...settings.limits };
  const created = await server.operator('POST', '/admin/orgs', {
    orgId: id,
    name: `Org ${id}`,
    settings: { ...settings, limits },
  });
  assert.equal(created.status, 201, created.text);
  const org = new Org(server, id, secret);
  await org.addKey({ secret: org.secret, algorithm: 'HS256' });
  return org;
}

/** One org of a running server, with a secret of its own. */
class Org {
  constructor(server, id, secret) {
    this.server = server;
    this.id = id;
    this.secret = secret;
  }

  operator(method, path, body) {
    return this.server.operator(method, `/admin/orgs/${this.id}${path}`, body);
  }

  /** Answers the stored key: `{ id, kid, … }`. */
  async addKey(key) {
    const answer = await this.operator('POST', '/keys', key);
    assert.equal(answer.status, 201, answer.text);
    return answer.body;
  }

  async set(settings) {
    const answer = await this.operator('PATCH', '', { settings });
    assert.equal(answer.status, 200, answer.text);
  }

  /**
   * Claims of a good token. The subject follows the e-mail, so that two calls name one
   * person; `iat` lies a little back, so that a revocation "now" is after it.
   */
  claims({ email, ...others }) {
    return { sub: `sub-of-${email}`, email, iat: now() - 5, exp: now() + 3600, ...others };
  }

  token(claims, { key = this.secret, ...options } = {}) {
    return jwt(this.claims(claims), key, options);
  }

  /** A person, not yet signed in: that happens at their first request. */
  user(email, claims = {}, options = {}) {
    return new User(this, email, this.token({ email, ...claims }, options));
  }

  /** Alice, Bob and whoever else is asked for, each signed in once. */
  async people(...names) {
    const users = names.map((name) => this.user(`${name}@example.com`));
    for (const user of users) await user.signIn();
    return users;
  }

  /** Someone whose token says `admin`, by a key that may vouch for it. */
  async admin(email = 'admin@example.com', claims = {}) {
    const key = randomBytes(32).toString('hex');
    await this.addKey({ secret: key, algorithm: 'HS256', mayAdmin: true });
    return this.user(email, { roles: ['admin'], kind: 'staff', ...claims }, { key });
  }
}
