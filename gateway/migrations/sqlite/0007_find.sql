-- Saved views: queries with a name.

CREATE TABLE saved_view (
    tenant   INTEGER NOT NULL REFERENCES tenant (id),
    id       INTEGER NOT NULL,
    name     TEXT NOT NULL,
    -- Whose it is: who made it.
    owner    INTEGER NOT NULL,
    -- Who sees it: 'private', 'tenant', or 'team:3'.
    audience TEXT NOT NULL,
    query    TEXT NOT NULL,
    sort     TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, owner) REFERENCES agent (tenant, id)
) STRICT, WITHOUT ROWID;

-- The newest number given out: that of a deleted view is not given to another.
CREATE TABLE saved_view_number (
    tenant INTEGER PRIMARY KEY,
    id     INTEGER NOT NULL
) STRICT;
