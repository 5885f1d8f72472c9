-- Payloads that the ingress bridge made into tasks and has not yet dropped from Redis: a repetition after a crash finds its
-- entry here, and is not taken for a second task of the same id.
CREATE TABLE taskgate.bridge_entry (
    entry_id    text PRIMARY KEY,
    noted_at    timestamptz NOT NULL DEFAULT now()
);
