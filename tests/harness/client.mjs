import { EventEmitter } from 'node:events';

import { io } from 'socket.io-client';

import { within } from './until.mjs';

const PATIENCE_MS = 10_000;

function open(url, auth, options) {
  return io(`${url}/community-chat`, {
    transports: ['websocket'],
    auth,
    reconnection: false,
    forceNew: true,
    ...options,
  });
}

/** Tries to connect and answers the error's message; an accepted CONNECT is an error. */
export async function refusalOf(url, auth, options) {
  const socket = open(url, auth, options);
  const refused = new Promise((resolve, reject) => {
    socket.once('connect', () => reject(new Error('the CONNECT was accepted')));
    socket.once('connect_error', (error) => resolve(error.message));
  });
  try {
    return await within(PATIENCE_MS, 'a refused CONNECT', refused);
  } finally {
    socket.disconnect();
  }
}

/**
 * An official Socket.IO client that keeps every event it is sent, from before it is
 * connected, so that no test has to listen in time.
 */
export class Client {
  #arrivals = new EventEmitter().setMaxListeners(0);
  #log = [];
  #ended;

  static async connect(url, auth, options) {
    const client = new Client(open(url, auth, options));
    const connected = new Promise((resolve, reject) => {
      client.socket.once('connect', resolve);
      client.socket.once('connect_error', (error) => reject(new Error(`CONNECT: ${error.message}`)));
    });
    try {
      await within(PATIENCE_MS, 'a CONNECT', connected);
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    socket.onAny((event, payload) => {
      this.#log.push({ event, payload, taken: false });
      this.#arrivals.emit('event');
    });
    this.#ended = new Promise((resolve) => socket.once('disconnect', resolve));
  }

  /** The first such event that no earlier call has taken: arrived already, or still to come. */
  next(event, where = () => true, withinMs = PATIENCE_MS) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#arrivals.off('event', look);
        const seen = JSON.stringify(this.#log.map((entry) => entry.event));
        reject(new Error(`no such ${event} within ${withinMs} ms; all that came: ${seen}`));
      }, withinMs);
      const look = () => {
        const found = this.#log.find((e) => !e.taken && e.event === event && where(e.payload));
        if (!found) return;
        found.taken = true;
        clearTimeout(timer);
        this.#arrivals.off('event', look);
        resolve(found.payload);
      };
      this.#arrivals.on('event', look);
      look();
    });
  }

  /** Waits until so many of these events have come, and answers all of them. */
  async collect(event, count, withinMs = PATIENCE_MS) {
    for (let taken = 0; taken < count; taken++) await this.next(event, undefined, withinMs);
    return this.all(event);
  }

  /** The payloads of all such events so far. */
  all(event) {
    return this.#log.filter((entry) => entry.event === event).map((entry) => entry.payload);
  }

  /** Emits and answers the ack; the end of the socket is an error. */
  ask(event, ...payload) {
    const acked = new Promise((resolve) => this.socket.emit(event, ...payload, resolve));
    const ended = this.#ended.then((reason) => {
      throw new Error(`no ack of ${event}: the socket was ended (${reason})`);
    });
    return within(PATIENCE_MS, `an ack of ${event}`, Promise.race([acked, ended]));
  }

  /** Emits and asks for no ack. */
  tell(event, ...payload) {
    this.socket.emit(event, ...payload);
  }

  /** The reason for which this socket was ended. */
  ended(withinMs = PATIENCE_MS) {
    return within(withinMs, 'the end of the socket', this.#ended);
  }

  get connected() {
    return this.socket.connected;
  }

  close() {
    this.socket.disconnect();
  }
}
