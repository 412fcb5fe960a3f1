-- Whether the installation may be used here: one row while it is being moved in, or once
-- it was moved away; none else.
CREATE TABLE standing (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    -- `arriving` or `moved`.
    state TEXT NOT NULL,
    -- Where it comes from, or where it is now, for people.
    other TEXT NOT NULL,
    at INTEGER NOT NULL
);
