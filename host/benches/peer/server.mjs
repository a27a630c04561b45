/**
 * The message API as a good Node service has it: fastify, socket.io and pg in one process. Takes a free
 * port of 127.0.0.1 and prints where it listens.
 *
 * Environment: DATABASE_URL, JWT_SECRET (HS256, of all orgs), WEBHOOK_URL (asked before each send, where set).
 */
import Fastify from 'fastify';
import { Server } from 'socket.io';
import pg from 'pg';
import { createVerifier } from 'fast-jwt';
import { v7 as uuidv7, validate as isUuid } from 'uuid';
import { readFileSync } from 'node:fs';
import { Agent, request as undiciRequest } from 'undici';

const { DATABASE_URL, JWT_SECRET, WEBHOOK_URL } = process.env;
const pool = new pg.Pool({
  connectionString: DATABASE_URL,
  max: 16,
  idleTimeoutMillis: 0,
});
pool.on('error', (e) => console.error('pg pool error:', e.message));
await pool.query(readFileSync(new URL('./schema.sql', import.meta.url), 'utf8'));

// HS256 only (no alg confusion); expiry is required; verified tokens are cached.
const verify = createVerifier({
  key: JWT_SECRET,
  algorithms: ['HS256'],
  cache: 20000,
  requiredClaims: ['exp'],
});
function caller(token, orgId) {
  const c = verify(token);
  const email = c.email ?? c.sub;
  if (!email || !c.orgId || (orgId && orgId !== c.orgId)) throw new Error('org mismatch');
  return { email, orgId: c.orgId };
}

const hookAgent = new Agent({ connections: 64, pipelining: 1 });
async function preSendHook(msg) {
  if (!WEBHOOK_URL) return msg;
  const r = await undiciRequest(WEBHOOK_URL, {
    method: 'POST',
    dispatcher: hookAgent,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ hook: 'beforeMessageSend', message: msg }),
    headersTimeout: 2000,
    bodyTimeout: 2000,
  });
  const v = await r.body.json();
  if (v.deny) throw Object.assign(new Error('denied by hook'), { statusCode: 403 });
  return v.message ?? msg;
}

const TYPES = new Set(['text', 'image', 'file', 'audio']);
// Pairs that this process has seen: their conversation needs no upsert.
const knownConv = new Set();
const SQL_SEND = `WITH n AS (INSERT INTO notifications (org_id,email,kind,ref_id,body) VALUES ($2,$4,'newMessage',$1,$9))
  INSERT INTO dm_messages (id,org_id,from_email,to_email,content,content_type,attachments,reply_to)
  VALUES ($1,$2,$3,$4,$5,$6,$7,$8) RETURNING created_at`;
const SQL_SEND_NEWCONV = `WITH c AS (INSERT INTO dm_conversations (org_id,user_lo,user_hi) VALUES ($2,least($3,$4),greatest($3,$4)) ON CONFLICT DO NOTHING),
  n AS (INSERT INTO notifications (org_id,email,kind,ref_id,body) VALUES ($2,$4,'newMessage',$1,$9))
  INSERT INTO dm_messages (id,org_id,from_email,to_email,content,content_type,attachments,reply_to)
  VALUES ($1,$2,$3,$4,$5,$6,$7,$8) RETURNING created_at`;
const bad = (m) => Object.assign(new Error(m), { statusCode: 400 });

async function send(me, b) {
  if (!b || typeof b.to !== 'string' || !b.to || b.to.length > 320) throw bad('to');
  if (typeof b.content !== 'string' || b.content.length > 16384) throw bad('content');
  const contentType = b.contentType ?? 'text';
  if (!TYPES.has(contentType)) throw bad('contentType');
  if (b.replyTo != null && !isUuid(b.replyTo)) throw bad('replyTo');
  if (b.attachments != null && !Array.isArray(b.attachments)) throw bad('attachments');
  let msg = {
    id: uuidv7(),
    from: me.email,
    to: b.to,
    content: b.content,
    contentType,
    attachments: b.attachments ?? [],
    replyTo: b.replyTo ?? null,
  };
  msg = await preSendHook(msg);
  const key =
    msg.from < msg.to ? `${me.orgId}\0${msg.from}\0${msg.to}` : `${me.orgId}\0${msg.to}\0${msg.from}`;
  const known = knownConv.has(key);
  const r = await pool.query({
    name: known ? 'send' : 'send_c',
    text: known ? SQL_SEND : SQL_SEND_NEWCONV,
    values: [
      msg.id,
      me.orgId,
      msg.from,
      msg.to,
      msg.content,
      contentType,
      JSON.stringify(msg.attachments),
      msg.replyTo,
      JSON.stringify({ from: msg.from, preview: msg.content.slice(0, 80) }),
    ],
  });
  if (!known) {
    if (knownConv.size > 200000) knownConv.clear();
    knownConv.add(key);
  }
  msg.createdAt = r.rows[0].created_at;
  ns.to(`u:${me.orgId}:${msg.to}`).emit('newMessage', msg);
  return msg;
}

const row2msg = (r) => ({
  id: r.id,
  from: r.from_email,
  to: r.to_email,
  content: r.content,
  contentType: r.content_type,
  attachments: r.attachments,
  replyTo: r.reply_to,
  createdAt: r.created_at,
  readAt: r.read_at,
});

async function threads(me, limit) {
  const r = await pool.query({
    name: 'threads',
    text: `
    SELECT c.peer, cu.name, cu.avatar, m.*, u.n::int AS unread FROM (
      SELECT user_hi AS peer, user_lo, user_hi FROM dm_conversations WHERE org_id=$1 AND user_lo=$2
      UNION ALL SELECT user_lo, user_lo, user_hi FROM dm_conversations WHERE org_id=$1 AND user_hi=$2 AND user_lo<>$2) c
    JOIN LATERAL (SELECT * FROM dm_messages WHERE org_id=$1 AND least(from_email,to_email)=c.user_lo AND greatest(from_email,to_email)=c.user_hi
      AND deleted_at IS NULL ORDER BY id DESC LIMIT 1) m ON true
    JOIN LATERAL (SELECT count(*) n FROM dm_messages WHERE org_id=$1 AND to_email=$2 AND from_email=c.peer AND read_at IS NULL AND deleted_at IS NULL) u ON true
    LEFT JOIN customers cu ON cu.org_id=$1 AND cu.email=c.peer
    ORDER BY m.id DESC LIMIT $3`,
    values: [me.orgId, me.email, limit],
  });
  return r.rows.map((x) => ({
    peer: x.peer,
    peerInfo: { email: x.peer, name: x.name, avatar: x.avatar },
    lastMessage: row2msg(x),
    unreadCount: x.unread,
  }));
}
async function history(me, peer, limit, before) {
  const [lo, hi] = me.email < peer ? [me.email, peer] : [peer, me.email];
  const r = await pool.query({
    name: before ? 'hist_b' : 'hist',
    text: `SELECT * FROM dm_messages
    WHERE org_id=$1 AND least(from_email,to_email)=$2 AND greatest(from_email,to_email)=$3 AND deleted_at IS NULL ${before ? 'AND id<$5' : ''}
    ORDER BY id DESC LIMIT $4`,
    values: before ? [me.orgId, lo, hi, limit, before] : [me.orgId, lo, hi, limit],
  });
  return r.rows.map(row2msg);
}
async function markRead(me, where, vals) {
  const r = await pool.query(
    `UPDATE dm_messages SET read_at=now() WHERE org_id=$1 AND to_email=$2 AND read_at IS NULL AND deleted_at IS NULL AND ${where} RETURNING id, from_email`,
    [me.orgId, me.email, ...vals],
  );
  for (const x of r.rows)
    ns.to(`u:${me.orgId}:${x.from_email}`).emit('messageRead', { messageId: x.id, by: me.email });
  return { updated: r.rowCount };
}

const app = Fastify({ logger: false, bodyLimit: 262144 });
const msgSchema = { body: { type: 'object', required: ['to', 'content'] } };
async function routes(f) {
  f.addHook('onRequest', async (req, rep) => {
    const h = req.headers.authorization;
    try {
      req.me = caller(h?.startsWith('Bearer ') ? h.slice(7) : '', req.headers.orgid ?? null);
      if (!req.headers.orgid) throw 0;
    } catch {
      return rep.code(401).send({ error: 'unauthorized' });
    }
  });
  f.post('/', { schema: msgSchema }, async (req, rep) => {
    rep.code(201);
    return send(req.me, req.body);
  });
  f.get('/threads', async (req) => threads(req.me, Math.min(+(req.query.limit ?? 100) || 100, 500)));
  f.get('/thread/:userId', async (req) =>
    history(
      req.me,
      req.params.userId,
      Math.min(+(req.query.limit ?? 100) || 100, 500),
      isUuid(req.query.before ?? '') ? req.query.before : null,
    ),
  );
  f.post('/read', async (req) => {
    const ids = (req.body?.ids ?? []).filter((x) => isUuid(x)).slice(0, 1000);
    return ids.length ? markRead(req.me, 'id = ANY($3::uuid[])', [ids]) : { updated: 0 };
  });
  f.post('/thread/:userId/read', async (req) => markRead(req.me, 'from_email=$3', [req.params.userId]));
  f.get('/unread-count', async (req) => {
    const r = await pool.query({
      name: 'unread',
      text: 'SELECT count(*)::int AS n FROM dm_messages WHERE org_id=$1 AND to_email=$2 AND read_at IS NULL AND deleted_at IS NULL',
      values: [req.me.orgId, req.me.email],
    });
    return { count: r.rows[0].n };
  });
  f.get('/:id', async (req, rep) => {
    if (!isUuid(req.params.id)) return rep.code(404).send({ error: 'not found' });
    const r = await pool.query({
      name: 'one',
      text: 'SELECT * FROM dm_messages WHERE id=$1 AND org_id=$2 AND (from_email=$3 OR to_email=$3) AND deleted_at IS NULL',
      values: [req.params.id, req.me.orgId, req.me.email],
    });
    return r.rows[0] ? row2msg(r.rows[0]) : rep.code(404).send({ error: 'not found' });
  });
  f.delete('/:id', async (req, rep) => {
    if (!isUuid(req.params.id)) return rep.code(404).send({ error: 'not found' });
    const r = await pool.query(
      'UPDATE dm_messages SET deleted_at=now() WHERE id=$1 AND org_id=$2 AND from_email=$3 AND deleted_at IS NULL',
      [req.params.id, req.me.orgId, req.me.email],
    );
    return r.rowCount ? { deleted: true } : rep.code(404).send({ error: 'not found' });
  });
}
// Tolerate an empty JSON body on the mark-read POST
app.addContentTypeParser('application/json', { parseAs: 'string' }, (req, body, done) => {
  try {
    done(null, body ? JSON.parse(body) : {});
  } catch {
    done(bad('json'));
  }
});
app.register(routes, { prefix: '/community/messages' });
app.register(routes, { prefix: '/client/community/messages' });

const io = new Server(app.server, {
  perMessageDeflate: false,
  maxHttpBufferSize: 262144,
  serveClient: false,
});
// Socket.IO's own advice: saves memory a client.
io.engine.on('connection', (raw) => {
  raw.request = null;
});
const ns = io.of('/community-chat');
// By org, by e-mail: how many sockets.
const online = new Map();
ns.use((socket, next) => {
  try {
    const { token, orgId } = socket.handshake.auth ?? {};
    if (!orgId) throw 0;
    socket.data = caller(token, orgId);
    next();
  } catch {
    next(new Error('unauthorized'));
  }
});
ns.on('connection', (socket) => {
  const me = socket.data,
    orgRoom = `org:${me.orgId}`;
  socket.join([`u:${me.orgId}:${me.email}`, orgRoom]);
  let m = online.get(me.orgId);
  if (!m) online.set(me.orgId, (m = new Map()));
  const n = m.get(me.email) ?? 0;
  m.set(me.email, n + 1);
  if (n === 0) socket.to(orgRoom).emit('userOnline', { email: me.email });
  const ackOf = (a) => (typeof a === 'function' ? a : () => {});
  socket.on('sendMessage', (b, ack) =>
    send(me, b).then(
      (msg) => ackOf(ack)(msg),
      (e) => ackOf(ack)({ error: e.statusCode ? e.message : 'internal' }),
    ),
  );
  socket.on('typing', (b) => {
    if (typeof b?.to === 'string') ns.to(`u:${me.orgId}:${b.to}`).emit('typing', { from: me.email });
  });
  socket.on('markRead', (b, ack) => {
    if (isUuid(b?.messageId))
      markRead(me, 'id=$3', [b.messageId]).then(
        (r) => ackOf(ack)(r),
        () => ackOf(ack)({ error: 'internal' }),
      );
  });
  socket.on('getOnlineUsers', (_x, cb) => {
    if (typeof _x === 'function') cb = _x;
    ackOf(cb)([...(online.get(me.orgId)?.keys() ?? [])]);
  });
  socket.on('disconnect', () => {
    const left = (m.get(me.email) ?? 1) - 1;
    if (left > 0) m.set(me.email, left);
    else {
      m.delete(me.email);
      if (m.size === 0) online.delete(me.orgId);
      ns.to(orgRoom).emit('userOffline', { email: me.email });
    }
  });
});
console.log(`ready on ${await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })}`);
