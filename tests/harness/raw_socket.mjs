import WebSocket from 'ws';

import { within } from './until.mjs';

/**
 * A WebSocket that speaks Engine.IO only as far as it is told to, for packets that no
 * client library would send. It answers pings unless it is paused.
 */
export class RawSocket {
  #frames = [];
  #waiting = null;

  static async open(url, query = 'EIO=4&transport=websocket') {
    const raw = new RawSocket(new WebSocket(`${url.replace('http', 'ws')}/socket.io/?${query}`));
    const opened = new Promise((resolve, reject) => {
      raw.socket.once('open', resolve);
      raw.socket.once('error', reject);
    });
    await within(10_000, 'a WebSocket', opened);
    return raw;
  }

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.on('message', (data) => {
      const frame = data.toString();
      if (frame === '2') return socket.send('3');
      this.#frames.push(frame);
      this.#waiting?.();
    });
  }

  /** Joins the namespace as the user. */
  async join(user) {
    this.send(`40/community-chat,${JSON.stringify({ token: user.token, orgId: user.org.id })}`);
    await this.frame((frame) => frame.startsWith('40/community-chat,'));
  }

  /** `options` as in `ws`: bytes go out as text with `{ binary: false }`. */
  send(frame, options) {
    this.socket.send(frame, options);
  }

  /** The first frame that fits, of those that came or will come. */
  frame(where, withinMs = 10_000) {
    const found = new Promise((resolve) => {
      this.#waiting = () => {
        const frame = this.#frames.find(where);
        if (frame !== undefined) resolve(frame);
      };
      this.#waiting();
    });
    return within(withinMs, 'a frame', found);
  }

  /** The payloads of an event of the namespace, so far. */
  events(name) {
    const prefix = '42/community-chat,';
    return this.#frames
      .filter((frame) => frame.startsWith(prefix))
      .map((frame) => JSON.parse(frame.slice(prefix.length)))
      .filter(([event]) => event === name)
      .map(([, payload]) => payload);
  }

  close() {
    this.socket.terminate();
  }
}
