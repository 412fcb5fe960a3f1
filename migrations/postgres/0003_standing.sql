-- Whether the installation may be used here: one row while it is being moved in, or once
-- it was moved away; none else. It belongs to no workspace, so no row-level security.
CREATE TABLE standing (
    only_one BIGINT PRIMARY KEY CHECK (only_one = 1),
    -- `arriving` or `moved`.
    state TEXT NOT NULL,
    -- Where it comes from, or where it is now, for people.
    other TEXT NOT NULL,
    at BIGINT NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON standing TO quaestor_app;
