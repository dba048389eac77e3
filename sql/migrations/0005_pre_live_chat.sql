-- Live chat: what was said in the chats of live streams.

CREATE TABLE live_chat_messages (
    id         uuid PRIMARY KEY,
    stream_id  uuid NOT NULL REFERENCES content (id),
    sequence   bigint CHECK (sequence > 0),
    user_id    text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 200),
    user_name  text NOT NULL CHECK (char_length(user_name) BETWEEN 1 AND 200),
    user_role  text NOT NULL CHECK (user_role IN ('user', 'moderator', 'admin')),
    avatar_url text CHECK (char_length(avatar_url) <= 2000),
    text       text NOT NULL CHECK (char_length(text) BETWEEN 1 AND 500),
    status     text NOT NULL DEFAULT 'visible'
               CHECK (status IN ('visible', 'held', 'denied', 'expired', 'deleted', 'hidden')),
    client_id  text NOT NULL CHECK (char_length(client_id) BETWEEN 1 AND 64),
    sent_at    timestamptz NOT NULL,
    removed_at timestamptz,
    removed_by text,
    removal    text CHECK (removal IN ('retraction', 'deletion', 'clearing', 'restriction')),
    -- What clients send twice is stored once, whichever nodes it came through.
    CONSTRAINT live_chat_messages_once UNIQUE (user_id, client_id, stream_id),
    -- The order of the stream, and the path of history.
    CONSTRAINT live_chat_messages_in_order UNIQUE (stream_id, sequence),
    CHECK (status <> 'visible' OR sequence IS NOT NULL),
    CHECK ((status IN ('deleted', 'hidden')) = (removed_at IS NOT NULL)),
    CHECK ((removed_at IS NULL) = (removal IS NULL))
);
COMMENT ON TABLE live_chat_messages IS 'Messages of the chats of live streams. Removed ones keep their text, for moderators and the audit.';
COMMENT ON COLUMN live_chat_messages.id IS 'UUIDv7.';
COMMENT ON COLUMN live_chat_messages.stream_id IS 'The live stream: content of kind live.';
COMMENT ON COLUMN live_chat_messages.sequence IS 'Place in the stream: the offset of its event on the stream''s chat channel. NULL: never shown to viewers.';
COMMENT ON COLUMN live_chat_messages.user_id IS 'The author: the sub of the token.';
COMMENT ON COLUMN live_chat_messages.user_name IS 'The author''s name as it was shown then.';
COMMENT ON COLUMN live_chat_messages.user_role IS 'The author''s role then.';
COMMENT ON COLUMN live_chat_messages.avatar_url IS 'The author''s picture then; NULL: none.';
COMMENT ON COLUMN live_chat_messages.text IS 'What was said: plain text in Unicode NFC, one line.';
COMMENT ON COLUMN live_chat_messages.status IS 'Viewers see only visible. held: awaits a moderator; denied, expired: was held and never shown; deleted: one message was removed; hidden: removed together with its author''s others.';
COMMENT ON COLUMN live_chat_messages.client_id IS 'The sender''s own key: a retry with the same key is the same message.';
COMMENT ON COLUMN live_chat_messages.sent_at IS 'When it was accepted; grows with sequence.';
COMMENT ON COLUMN live_chat_messages.removed_at IS 'When it was removed; NULL unless status is deleted or hidden.';
COMMENT ON COLUMN live_chat_messages.removed_by IS 'User id of whoever removed it; NULL: nobody did, or a rule.';
COMMENT ON COLUMN live_chat_messages.removal IS 'How it was removed: retraction by its author, deletion by a moderator, clearing of the chat, restriction of its author.';
