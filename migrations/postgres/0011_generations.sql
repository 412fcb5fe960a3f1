-- Index generations that are built beside the one that is searched, and vectors that are
-- found again by what was embedded.

-- The job that builds or fills it; null where documents have as they came.
ALTER TABLE generations ADD job_id UUID;
-- When all passages had their vector, and the index over them may be built.
ALTER TABLE generations ADD filled_at BIGINT;
ALTER TABLE generations ADD switched_at BIGINT;
ALTER TABLE generations ADD paused_at BIGINT;
ALTER TABLE generations ADD passages_per_minute BIGINT;
-- Documents that were made searchable without their vectors in it.
ALTER TABLE generations ADD skipped BIGINT NOT NULL DEFAULT 0;
-- How many vectors the model made for it, and how long that took.
ALTER TABLE generations ADD embedded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE generations ADD embed_us BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX one_building_generation ON generations (collection_id)
    WHERE state = 'building';
CREATE UNIQUE INDEX one_former_generation ON generations (collection_id)
    WHERE state = 'former';

-- What was embedded: the first 16 bytes of its SHA-256. Null of vectors of before.
ALTER TABLE vectors ADD text_hash BYTEA;
CREATE INDEX vectors_by_text ON vectors (text_hash);

-- Vectors of what a document held, until its next version has its own.
CREATE TABLE kept_vectors (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id UUID NOT NULL,
    document_id UUID NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    dimensions BIGINT NOT NULL,
    text_hash BYTEA NOT NULL,
    vector VECTOR NOT NULL
);
ALTER TABLE kept_vectors ALTER vector SET STORAGE EXTERNAL;
CREATE INDEX kept_vectors_by_text ON kept_vectors (workspace_id, text_hash);
CREATE INDEX kept_vectors_of_document ON kept_vectors (document_id);
SELECT protect_table('kept_vectors', 'workspace_id', '{}');
