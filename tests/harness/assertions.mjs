import assert from 'node:assert/strict';

/** All fields of a message, as the contract lists them. */
const MESSAGE_FIELDS = [
  'id',
  'from',
  'to',
  'content',
  'contentType',
  'attachments',
  'replyTo',
  'clientId',
  'metadata',
  'seq',
  'state',
  'createdAt',
  'editedAt',
  'deletedAt',
  'readAt',
].sort();

const PEER_FIELDS = ['id', 'email', 'name', 'picture', 'online', 'lastSeen'].sort();

const ERROR_CODES = [
  'unauthorized',
  'forbidden',
  'org_suspended',
  'not_found',
  'invalid',
  'conflict',
  'too_large',
  'rate_limited',
  'rejected',
  'unavailable',
  'internal',
];

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UTC_MILLISECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export function assertTime(value) {
  assert.match(value, UTC_MILLISECONDS);
}

export function assertMessage(message) {
  assert.deepEqual(Object.keys(message).sort(), MESSAGE_FIELDS);
  assert.match(message.id, UUID_V7);
  assertTime(message.createdAt);
  for (const field of ['editedAt', 'deletedAt', 'readAt']) {
    if (message[field] !== null) assertTime(message[field]);
  }
}

export function assertPeer(peerInfo) {
  assert.deepEqual(Object.keys(peerInfo).sort(), PEER_FIELDS);
}

/** An error's body, as REST answers and acks carry it. */
export function assertError(error, status, code) {
  assert.ok(error && typeof error === 'object', `an error, not ${JSON.stringify(error)}`);
  assert.deepEqual({ status: error.status, code: error.code }, { status, code }, JSON.stringify(error));
  for (const field of ['type', 'title', 'detail', 'requestId']) {
    assert.equal(typeof error[field], 'string', `${field} of ${JSON.stringify(error)}`);
  }
}

export function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
  assertError(answer.body, status, code);
}

/** As `assertProblem`, and the named field is to blame. */
export function assertInvalid(answer, field) {
  assertProblem(answer, 422, 'invalid');
  const fields = (answer.body.errors ?? []).map((error) => error.field);
  assert.ok(
    fields.some((name) => name.startsWith(field)),
    `${field} among ${JSON.stringify(fields)}`,
  );
}

/** Some documented refusal of what the client sent: the contract does not say which. */
export function assertRefused(answer) {
  assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
  assertProblem(answer, answer.status, answer.body?.code);
  assert.ok(ERROR_CODES.includes(answer.body.code), answer.text);
}

/** An ack that says no, for the named reason. */
export function assertAckError(ack, status, code) {
  assert.equal(ack?.ok, false, JSON.stringify(ack));
  assertError(ack.error, status, code);
}

export const ids = (messages) => messages.map((message) => message.id);
