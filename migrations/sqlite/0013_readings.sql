-- A version may be read more than once: by a later parser, or cut otherwise for an index
-- generation that is built beside. Each reading is a row of `versions` with pages, passages and
-- terms of its own, so that no search can mix two of them.

-- Of a reading beside the version's own row: the version that it is a reading of. Its `version`
-- is then a number of its own, from 2^30 on.
ALTER TABLE versions ADD reading_of INTEGER;
-- The parser that it was read by; null of what was read before parsers were noted.
ALTER TABLE versions ADD parser TEXT;
-- The cut it was made for: `generations.cut`.
ALTER TABLE versions ADD cut INTEGER NOT NULL DEFAULT 0;
-- It is read, and not searched before all of it has its vectors.
ALTER TABLE versions ADD staged INTEGER NOT NULL DEFAULT 0;
-- Why a later reading failed, so that this one was kept.
ALTER TABLE versions ADD reread_error TEXT;
CREATE INDEX versions_staged ON versions (collection_id) WHERE staged;
CREATE INDEX versions_of_cut ON versions (collection_id, cut) WHERE reading_of IS NOT NULL;

-- The reading of the odd cut, as `current_key` is that of the even one. Which of the two is
-- searched says the collection's current generation; where a document has one alone, that is.
ALTER TABLE documents ADD other_key INTEGER;
CREATE INDEX documents_searched ON documents (collection_id, id, current_key, other_key);
DROP INDEX documents_of_collection;

-- Generations of one cut share their passages. Two that live at once are of different parity
-- or of the same cut; -1 where nothing of a dropped one's cut is left.
ALTER TABLE generations ADD cut INTEGER NOT NULL DEFAULT 0;
-- The sizes of its passages, in characters; null of the usual ones.
ALTER TABLE generations ADD target_chars INTEGER;
ALTER TABLE generations ADD max_chars INTEGER;
CREATE INDEX generations_of_odd_cut ON generations (collection_id)
    WHERE state = 'current' AND cut % 2 = 1;
