-- What flows: messages of questions before those of documents, and the chain over the audit
-- log.

-- Whether a message comes after those that somebody waits for. A program of the version
-- before writes none, and its documents stand among the questions until it is gone.
ALTER TABLE outbox ADD COLUMN bulk BOOLEAN NOT NULL DEFAULT FALSE;
DROP INDEX outbox_unsent;
CREATE INDEX outbox_unsent ON outbox (bulk, due_at, id) WHERE sent_at IS NULL;

-- One row for each entry of the audit log that was sealed: its number in the workspace's
-- chain, and SHA-256 over the seal before, the number and the whole entry. No foreign key:
-- an entry that is gone is to be found out, and not to take its seal along.
CREATE TABLE audit_seals (
    workspace_id UUID NOT NULL,
    number BIGINT NOT NULL,
    entry_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, number)
);
SELECT protect_table('audit_seals', 'workspace_id', '{}');

-- Where each chain ends, once more: a chain that was cut short does not end here.
CREATE TABLE audit_heads (
    workspace_id UUID PRIMARY KEY,
    number BIGINT NOT NULL,
    entry_id UUID NOT NULL,
    hash BYTEA NOT NULL
) WITH (fillfactor = 50);
SELECT protect_table('audit_heads', 'workspace_id', '{}');
