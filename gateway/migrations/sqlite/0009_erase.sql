-- Erasing a person.

-- Since when nothing of a requester is left but its number.
ALTER TABLE requester ADD COLUMN erased_at INTEGER;

-- Erasures that are not finished.
CREATE TABLE erasure (
    tenant    INTEGER NOT NULL,
    requester INTEGER NOT NULL,
    -- Who wants it, as the audit log names him, and since when.
    actor     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    -- Tickets up to here have been looked at.
    after     INTEGER NOT NULL DEFAULT 0,
    -- Tickets that were found and are not known to be done: a JSON array.
    batch     TEXT NOT NULL DEFAULT '[]',
    -- What has been done.
    tickets   INTEGER NOT NULL DEFAULT 0,
    events    INTEGER NOT NULL DEFAULT 0,
    files     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, requester),
    FOREIGN KEY (tenant, requester) REFERENCES requester (tenant, id)
) STRICT, WITHOUT ROWID;

-- A gateway learns of one that another process has asked for.
CREATE TRIGGER erasure_added AFTER INSERT ON erasure BEGIN UPDATE directory SET revision = revision + 1; END;

-- Agents whom an event concerns besides its ticket's holder: their numbers, with commas.
ALTER TABLE event ADD COLUMN followers TEXT;
