-- Sessions of the console: who signed in with which key. A session is worth no more than its key, and ends with it.
CREATE TABLE taskgate.session (
    session_id  text PRIMARY KEY,
    token_hash  text NOT NULL UNIQUE,         -- hex SHA-256 of what the cookie holds
    key_id      text NOT NULL,                -- api_keys.id
    user_id     text NOT NULL,
    created_at  timestamptz NOT NULL,
    used_at     timestamptz NOT NULL,         -- lags behind by a part of the idle time
    expires_at  timestamptz NOT NULL          -- whatever it is used for
);
CREATE INDEX session_by_user ON taskgate.session (user_id);
CREATE INDEX session_by_end ON taskgate.session (expires_at);
