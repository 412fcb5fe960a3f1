-- A version may be read more than once: by a later parser, or cut otherwise for an index
-- generation that is built beside. Each reading is a row of `versions` with pages, passages and
-- terms of its own, so that no search can mix two of them.

ALTER TABLE versions
    -- Of a reading beside the version's own row: the version that it is a reading of. Its
    -- `version` is then a number of its own, from 2^30 on.
    ADD reading_of BIGINT,
    -- The parser that it was read by; null of what was read before parsers were noted.
    ADD parser TEXT,
    -- The cut it was made for: `generations.cut`.
    ADD cut BIGINT NOT NULL DEFAULT 0,
    -- It is read, and not searched before all of it has its vectors.
    ADD staged BOOLEAN NOT NULL DEFAULT FALSE,
    -- Why a later reading failed, so that this one was kept.
    ADD reread_error TEXT;
CREATE INDEX versions_staged ON versions (collection_id) WHERE staged;
CREATE INDEX versions_of_cut ON versions (collection_id, cut) WHERE reading_of IS NOT NULL;

-- The reading of the odd cut, as `current_key` is that of the even one. Which of the two is
-- searched says the collection's current generation; where a document has one alone, that is.
ALTER TABLE documents ADD other_key BIGINT;
CREATE INDEX documents_searched ON documents (collection_id, id, current_key, other_key);
DROP INDEX documents_of_collection;

ALTER TABLE generations
    -- Generations of one cut share their passages. Two that live at once are of different
    -- parity or of the same cut; -1 where nothing of a dropped one's cut is left.
    ADD cut BIGINT NOT NULL DEFAULT 0,
    -- The sizes of its passages, in characters; null of the usual ones.
    ADD target_chars BIGINT,
    ADD max_chars BIGINT;
CREATE INDEX generations_of_odd_cut ON generations (collection_id)
    WHERE state = 'current' AND cut % 2 = 1;

-- Whoever tends the store looks for what is left of dropped generations.
CREATE POLICY for_installation_select ON generations FOR SELECT
    USING ((SELECT for_installation()));

-- Other passages are searched than before.
CREATE CONSTRAINT TRIGGER search_changes_by_reading AFTER UPDATE OF other_key ON documents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.other_key IS DISTINCT FROM OLD.other_key)
    EXECUTE FUNCTION change_search_stamp();
CREATE CONSTRAINT TRIGGER search_changes_by_generation AFTER UPDATE OF state ON generations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state IS DISTINCT FROM OLD.state AND NEW.state = 'current')
    EXECUTE FUNCTION change_search_stamp();
