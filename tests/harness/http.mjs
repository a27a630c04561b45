import { connect } from 'node:net';

import { within } from './until.mjs';

const JSON_TYPE = { 'content-type': 'application/json' };

/**
 * One request. A body that is a string or bytes goes out as it is; anything else as JSON.
 * Answers `{ status, headers, text, body }`, where `body` is the parsed JSON or null.
 */
export async function request(url, { method = 'GET', headers = {}, body, withinMs = 30_000 } = {}) {
  const raw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
  const response = await fetch(url, {
    method,
    headers: raw ? headers : { ...JSON_TYPE, ...headers },
    body: raw ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(withinMs),
  });
  const text = await response.text();
  const json = /\bjson\b/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: json && text ? JSON.parse(text) : null,
  };
}

/**
 * Sends bytes that no HTTP library would and answers all that came back until the server closed,
 * or until it was silent for `silentMs`.
 */
export async function sendRaw(url, text, silentMs = 0) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const closed = new Promise((resolve) => {
    let received = '';
    socket.on('data', (bytes) => (received += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
    socket.setTimeout(silentMs, () => resolve(received));
  });
  socket.write(text);
  try {
    return await within(20_000, 'an end of the raw connection', closed);
  } finally {
    socket.destroy();
  }
}

/** The target of a `Link: <…>; rel="next"` header as a path, or null on the last page. */
export function nextPage(answer) {
  const link = answer.headers.get('link');
  if (!link) return null;
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link)?.[1];
  const url = new URL(target, 'http://server.invalid');
  return url.pathname + url.search;
}
