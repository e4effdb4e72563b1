-- Files of tickets. Their bytes are elsewhere, by their hash: the same file twice is stored once.
CREATE TABLE attachment (
    tenant     INTEGER NOT NULL REFERENCES tenant (id),
    ticket     INTEGER NOT NULL,
    -- SHA-256 of the bytes.
    hash       BLOB NOT NULL,
    name       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (tenant, ticket, hash)
) STRICT, WITHOUT ROWID;
