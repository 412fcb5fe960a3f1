-- Index generations that are built beside the one that is searched, and vectors that are
-- found again by what was embedded.

-- The job that builds or fills it; null where documents have as they came.
ALTER TABLE generations ADD job_id BLOB;
-- When all passages had their vector, and the index over them may be built.
ALTER TABLE generations ADD filled_at INTEGER;
ALTER TABLE generations ADD switched_at INTEGER;
ALTER TABLE generations ADD paused_at INTEGER;
ALTER TABLE generations ADD passages_per_minute INTEGER;
-- Documents that were made searchable without their vectors in it.
ALTER TABLE generations ADD skipped INTEGER NOT NULL DEFAULT 0;
-- How many vectors the model made for it, and how long that took.
ALTER TABLE generations ADD embedded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD embed_us INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX one_building_generation ON generations (collection_id)
    WHERE state = 'building';
CREATE UNIQUE INDEX one_former_generation ON generations (collection_id)
    WHERE state = 'former';

-- What was embedded: the first 16 bytes of its SHA-256. Null of vectors of before.
ALTER TABLE vectors ADD text_hash BLOB;
CREATE INDEX vectors_by_text ON vectors (generation_key, text_hash);
-- The index above begins with the same column.
DROP INDEX vectors_of_generation;

-- Vectors of what a document held, until its next version has its own.
CREATE TABLE kept_vectors (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    document_id BLOB NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    text_hash BLOB NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX kept_vectors_by_text ON kept_vectors (workspace_id, text_hash);
CREATE INDEX kept_vectors_of_document ON kept_vectors (document_id);
