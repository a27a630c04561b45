-- The tables of the reference peer. Indexes are what its queries need and no more.
CREATE TABLE IF NOT EXISTS customers (
  org_id text NOT NULL, email text NOT NULL, name text, avatar text,
  PRIMARY KEY (org_id, email)
);
CREATE TABLE IF NOT EXISTS dm_conversations (
  org_id text NOT NULL, user_lo text NOT NULL, user_hi text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, user_lo, user_hi)
);
CREATE INDEX IF NOT EXISTS dm_conv_hi ON dm_conversations (org_id, user_hi, user_lo);
CREATE TABLE IF NOT EXISTS dm_messages (
  id uuid PRIMARY KEY,               -- Version 7: sorts by time, so the index grows at its right edge.
  org_id text NOT NULL,
  from_email text NOT NULL,
  to_email text NOT NULL,
  content text NOT NULL,
  content_type text NOT NULL DEFAULT 'text',
  attachments jsonb NOT NULL DEFAULT '[]',
  reply_to uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  read_at timestamptz,
  deleted_at timestamptz
);
-- One conversation is the unordered pair; history pages walk this index backwards.
CREATE INDEX IF NOT EXISTS dm_msg_conv ON dm_messages
  (org_id, (least(from_email, to_email)), (greatest(from_email, to_email)), id);
-- Unread badge and unread of a thread: only unread rows are in the index.
CREATE INDEX IF NOT EXISTS dm_msg_unread ON dm_messages (org_id, to_email, from_email) WHERE read_at IS NULL AND deleted_at IS NULL;
CREATE TABLE IF NOT EXISTS notifications (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  org_id text NOT NULL, email text NOT NULL, kind text NOT NULL,
  ref_id uuid, body jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz
);
CREATE INDEX IF NOT EXISTS notif_user ON notifications (org_id, email, id);
