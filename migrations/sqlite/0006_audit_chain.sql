-- What flows: messages of questions before those of documents, and the chain over the audit
-- log.

-- Whether a message comes after those that somebody waits for.
ALTER TABLE outbox ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0;
DROP INDEX outbox_unsent;
CREATE INDEX outbox_unsent ON outbox (bulk, due_at, id) WHERE sent_at IS NULL;

-- One row for each entry of the audit log that was sealed: its number in the workspace's
-- chain, and SHA-256 over the seal before, the number and the whole entry. No foreign key:
-- an entry that is gone is to be found out, and not to take its seal along.
CREATE TABLE audit_seals (
    workspace_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    entry_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (workspace_id, number)
) WITHOUT ROWID;

-- Where each chain ends, once more: a chain that was cut short does not end here.
CREATE TABLE audit_heads (
    workspace_id BLOB PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    entry_id BLOB NOT NULL,
    hash BLOB NOT NULL
) WITHOUT ROWID;
