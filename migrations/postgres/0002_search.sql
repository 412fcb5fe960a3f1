-- Search by words and by meaning.
--
-- Words are found by posting lists: for each term and version, in which chunks it stands,
-- how often, and how long these chunks are. The index holds all of it, so a question is
-- answered by reading a few neighbouring pages of it, and BM25 is summed over every match.
-- A `tsvector` under GIN was measured against it: of 100,000 chunks, a question that
-- matches 70,000 took 185 ms for term frequencies alone, since each matching row must be
-- read and unpacked; the posting lists of the same question take 2 ms.

CREATE TABLE chunk_terms (
    workspace_id UUID NOT NULL,
    version_key BIGINT NOT NULL,
    -- In how many chunks of this row the term stands.
    chunks INTEGER NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    -- For each chunk: steps from the ordinal before, times, length in terms; all as LEB128.
    -- At most about 2,000 bytes, as an index takes no more; a longer list is several rows.
    postings BYTEA NOT NULL
);
ALTER TABLE chunk_terms ALTER postings SET STORAGE PLAIN;
CREATE INDEX chunk_terms_by_term ON chunk_terms (workspace_id, term, version_key)
    INCLUDE (chunks, postings);
CREATE INDEX chunk_terms_of_version ON chunk_terms (version_key);
-- Index-only scans need the visibility map, which vacuum alone writes.
ALTER TABLE chunk_terms SET (autovacuum_vacuum_insert_scale_factor = 0.05);
SELECT protect_table('chunk_terms', 'workspace_id', '{}');

-- What full text holds of a version.
ALTER TABLE versions
    ADD indexed_chunks BIGINT NOT NULL DEFAULT 0,
    ADD indexed_terms BIGINT NOT NULL DEFAULT 0;

-- A number that changes whenever other versions of a workspace are searched than before.
-- What was counted under one number is right as long as it stands.
CREATE TABLE search_stamps (
    workspace_id UUID PRIMARY KEY,
    stamp BIGINT NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0,
        autovacuum_vacuum_threshold = 1000);
SELECT protect_table('search_stamps', 'workspace_id', '{}');

CREATE FUNCTION change_search_stamp() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO search_stamps AS s (workspace_id, stamp)
    VALUES (CASE TG_OP WHEN 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END, 1)
    ON CONFLICT (workspace_id) DO UPDATE SET stamp = s.stamp + 1;
    RETURN NULL;
END $$;

-- At the end of the transaction, so that the one row of a workspace is locked last, for
-- the time of the commit only, and nobody who holds it still waits for another row.
CREATE CONSTRAINT TRIGGER search_changes_by_insert AFTER INSERT ON documents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.current_key IS NOT NULL)
    EXECUTE FUNCTION change_search_stamp();
CREATE CONSTRAINT TRIGGER search_changes_by_update AFTER UPDATE OF current_key ON documents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.current_key IS DISTINCT FROM OLD.current_key)
    EXECUTE FUNCTION change_search_stamp();
CREATE CONSTRAINT TRIGGER search_changes_by_delete AFTER DELETE ON documents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.current_key IS NOT NULL)
    EXECUTE FUNCTION change_search_stamp();

-- Vectors: a partition `vectors_<key>` for each generation, with the dimensions of its
-- model. `embedding` is what is scanned and indexed; `exact` stands out of line, and is
-- read for the best candidates, for what is returned, and when an installation moves.
--
-- No foreign keys: removing one chunk would look into every partition. What is removed
-- with its owner is removed by the triggers below, each in the partition it knows.
DROP TABLE vectors;
CREATE TABLE vectors (
    workspace_id UUID NOT NULL,
    generation_key BIGINT NOT NULL,
    version_key BIGINT NOT NULL,
    chunk_key BIGINT NOT NULL,
    chunk_id UUID NOT NULL,
    embedding HALFVEC NOT NULL,
    exact VECTOR NOT NULL,
    PRIMARY KEY (chunk_key, generation_key)
) PARTITION BY LIST (generation_key);
ALTER TABLE vectors ALTER embedding SET STORAGE MAIN, ALTER exact SET STORAGE EXTERNAL;
CREATE INDEX vectors_of_version ON vectors (version_key);
SELECT protect_table('vectors', 'workspace_id', '{}');

-- Whether a generation's nearest-neighbour index is there: none, building, ready. Only
-- `ready` is searched by it.
ALTER TABLE generations ADD vector_index TEXT NOT NULL DEFAULT 'none';

-- With its owner's rights, since the program may make no tables. Made apart and then
-- attached: searches of the other partitions go on meanwhile.
CREATE FUNCTION make_vector_partition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    part text := 'vectors_' || NEW.key;
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE vectors INCLUDING STORAGE,
                    CHECK (vector_dims(embedding) = %s AND vector_dims(exact) = %s))
                    WITH (toast_tuple_target = 128)', part, NEW.dimensions, NEW.dimensions);
    PERFORM protect_table(part::regclass, 'workspace_id', '{}');
    EXECUTE format('ALTER TABLE vectors ATTACH PARTITION %I FOR VALUES IN (%s)', part, NEW.key);
    RETURN NULL;
END $$;
CREATE TRIGGER generation_gets_its_partition AFTER INSERT ON generations
    FOR EACH ROW EXECUTE FUNCTION make_vector_partition();

-- Takes a version out of search.
CREATE FUNCTION forget_searched(gone_version bigint, of_collection uuid) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    generation bigint;
BEGIN
    DELETE FROM chunk_terms WHERE version_key = gone_version;
    FOR generation IN SELECT key FROM generations WHERE collection_id = of_collection LOOP
        EXECUTE format('DELETE FROM %I WHERE version_key = $1', 'vectors_' || generation)
            USING gone_version;
    END LOOP;
END $$;

CREATE FUNCTION forget_removed_version() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM forget_searched(OLD.key, OLD.collection_id);
    RETURN OLD;
END $$;
CREATE TRIGGER version_is_forgotten BEFORE DELETE ON versions
    FOR EACH ROW EXECUTE FUNCTION forget_removed_version();

-- The emptied partition is dropped later, by `drop_vector_partitions`: dropping it here
-- would make the deletion wait for every search that runs.
CREATE FUNCTION forget_removed_generation() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('DELETE FROM %I', 'vectors_' || OLD.key);
    RETURN OLD;
END $$;
CREATE TRIGGER generation_is_forgotten BEFORE DELETE ON generations
    FOR EACH ROW EXECUTE FUNCTION forget_removed_generation();

-- Drops the partitions of generations that are gone, at most `most` of them; returns how
-- many. For a moment it keeps others from the parent table; the caller sets a short
-- `lock_timeout`, and what did not go now goes the next time. Called by the owner of the
-- tables, who alone may drop them.
CREATE FUNCTION drop_vector_partitions(most int) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
    part regclass;
    gone int := 0;
BEGIN
    -- A generation that the caller does not see would be taken for one that is gone.
    IF NOT for_installation() THEN
        RAISE EXCEPTION 'partitions are dropped for the whole installation: set quaestor.installation';
    END IF;
    PERFORM set_config('quaestor.workspaces',
        (SELECT coalesce(array_agg(id), '{}')::text FROM workspaces), true);
    FOR part IN
        SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'vectors'::regclass
          AND NOT EXISTS (SELECT FROM generations g WHERE c.relname = 'vectors_' || g.key)
        LIMIT most
    LOOP
        EXECUTE format('DROP TABLE %s', part);
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END $$;
REVOKE EXECUTE ON FUNCTION drop_vector_partitions(int) FROM PUBLIC;

-- A function with its owner's rights finds its own tables, whatever the caller's path.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_vector_partition() SET search_path = %I, public, pg_temp',
        current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION make_vector_partition() FROM PUBLIC;
