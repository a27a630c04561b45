import assert from 'node:assert/strict';

import { Client, refusalOf } from './client.mjs';

export const MESSAGES = '/community/messages';

/** A person with a token, at both doors. */
export class User {
  constructor(org, email, token) {
    this.org = org;
    this.server = org.server;
    this.email = email;
    this.token = token;
  }

  request(method, path, { body, headers, withinMs } = {}) {
    return this.server.request(path, {
      method,
      body,
      withinMs,
      headers: { orgid: this.org.id, authorization: `Bearer ${this.token}`, ...headers },
    });
  }

  get(path, headers) {
    return this.request('GET', path, { headers });
  }

  post(path, body, headers) {
    return this.request('POST', path, { body, headers });
  }

  patch(path, body) {
    return this.request('PATCH', path, { body });
  }

  del(path) {
    return this.request('DELETE', path);
  }

  async signIn() {
    await this.#expect(200, this.get(`${MESSAGES}/unread-count`));
  }

  /** Sends by REST and answers the stored message. */
  send(to, content, fields = {}) {
    const message = { to: to.email ?? to, content, contentType: 'text', ...fields };
    return this.#expect(201, this.post(MESSAGES, message));
  }

  /** The thread with a peer. `query` such as `?limit=2`. */
  history(peer, query = '') {
    return this.#expect(200, this.get(threadPath(peer, query)));
  }

  threads() {
    return this.#expect(200, this.get(`${MESSAGES}/threads`));
  }

  async unreadCount() {
    return (await this.#expect(200, this.get(`${MESSAGES}/unread-count`))).count;
  }

  message(id) {
    return this.#expect(200, this.get(`${MESSAGES}/${id}`));
  }

  notifications() {
    return this.#expect(200, this.get('/community/notifications'));
  }

  /** What changed since a cursor; `null` asks where to start. */
  sync(since) {
    return this.#expect(200, this.get(`${MESSAGES}/sync?since=${encodeURIComponent(since ?? '')}`));
  }

  async #expect(status, pending) {
    const answer = await pending;
    assert.equal(answer.status, status, answer.text);
    return answer.body;
  }

  /** The auth payload of a CONNECT packet. */
  get #auth() {
    return { token: this.token, orgId: this.org.id };
  }

  /** A connected socket; `options` are those of `io()`. */
  async connect(options) {
    return this.server.track(await Client.connect(this.server.url, this.#auth, options));
  }

  /** The code with which a CONNECT is refused. */
  connectRefusal(options) {
    return refusalOf(this.server.url, this.#auth, options);
  }
}

export function threadPath(peer, query = '') {
  return `${MESSAGES}/thread/${encodeURIComponent(peer.email ?? peer)}${query}`;
}
