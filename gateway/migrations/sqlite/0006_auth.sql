-- What was done that matters for security: one chain of rows per tenant. Each row's hash covers the row before, so
-- that a row that is changed, taken out or put in later breaks the chain.

CREATE TABLE audit (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    -- 1, 2, 3… per tenant, no gaps.
    id     INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    -- A JSON object.
    detail TEXT NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_by_actor ON audit (tenant, actor, id);
CREATE INDEX audit_by_object ON audit (tenant, object, id);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;

-- INSERT OR REPLACE would take a row's place without deleting it as triggers see it.
CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
WHEN new.id <> 1 + coalesce((SELECT max(id) FROM audit WHERE tenant = new.tenant), 0) BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;

-- How agents prove who they are. A password's `hash` is a PHC string; of sessions and devices there is the SHA-256 of a
-- secret of 256 random bits.

CREATE TABLE password (
    tenant       INTEGER NOT NULL,
    agent        INTEGER NOT NULL,
    hash         TEXT NOT NULL,
    changed_at   INTEGER NOT NULL,
    -- 1: somebody else chose it; it opens nothing until its agent has chosen another.
    is_temporary INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent),
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT, WITHOUT ROWID;

-- Those that have not ended; how others ended is in the audit log.
CREATE TABLE session (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     INTEGER NOT NULL,
    agent      INTEGER NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    method     TEXT NOT NULL,
    -- What the client calls itself.
    client     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    idle_ms    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT;

CREATE INDEX session_by_agent ON session (tenant, agent, id);

-- Browsers that an agent has logged in with before: others' failures do not lock them out.
CREATE TABLE device (
    tenant  INTEGER NOT NULL,
    agent   INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent, hash),
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT, WITHOUT ROWID;

-- Whom an identity provider means: `subject` is what it says in the claim that was configured.
CREATE TABLE identity (
    tenant  INTEGER NOT NULL,
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    agent   INTEGER NOT NULL,
    PRIMARY KEY (tenant, issuer, subject),
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER session_added AFTER INSERT ON session BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER session_ended AFTER DELETE ON session BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER identity_added AFTER INSERT ON identity BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER identity_changed AFTER UPDATE ON identity BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER identity_ended AFTER DELETE ON identity BEGIN UPDATE directory SET revision = revision + 1; END;

-- `scope` is a list now: names with spaces between them.
ALTER TABLE token ADD COLUMN name TEXT NOT NULL DEFAULT '';
-- When it was last shown, to the nearest minutes.
ALTER TABLE token ADD COLUMN seen_at INTEGER;

-- That a token was seen is no change of the directory.
DROP TRIGGER token_changed;
CREATE TRIGGER token_changed AFTER UPDATE OF tenant, agent, scope, hash, expires_at, revoked_at, name ON token BEGIN
    UPDATE directory SET revision = revision + 1;
END;
