-- The log is the truth; tickets are its projection, heads its ends.

CREATE TABLE tenant (
    id     INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    epoch  INTEGER NOT NULL,
    -- Head of the log: raised in the transaction that adds events.
    offset INTEGER NOT NULL DEFAULT 0,
    -- The highest ticket number given out.
    ticket INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE queue (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    id     INTEGER NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    id     INTEGER NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     INTEGER NOT NULL,
    agent      INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT;

-- One row. Raised by triggers below, so that no writer can forget it.
CREATE TABLE directory (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO directory (id, revision) VALUES (1, 1);

CREATE TRIGGER tenant_added AFTER INSERT ON tenant BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER queue_added AFTER INSERT ON queue BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER agent_added AFTER INSERT ON agent BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER token_added AFTER INSERT ON token BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER token_changed AFTER UPDATE ON token BEGIN UPDATE directory SET revision = revision + 1; END;

CREATE TABLE event (
    tenant      INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    ticket      INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    at          INTEGER NOT NULL,
    queue       INTEGER NOT NULL,
    queue_from  INTEGER,
    agent       INTEGER,
    agent_from  INTEGER,
    data        TEXT NOT NULL,
    -- The Idempotency-Key of the request behind it, whose it was, and the request's hash.
    caller      TEXT,
    key         TEXT,
    fingerprint INTEGER,
    PRIMARY KEY (tenant, offset)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX event_by_ticket ON event (tenant, ticket, version);
CREATE UNIQUE INDEX event_by_key ON event (tenant, key, caller) WHERE key IS NOT NULL;

CREATE TABLE ticket (
    tenant       INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    status       TEXT NOT NULL,
    fence        INTEGER NOT NULL,
    assignee     INTEGER,
    queue        INTEGER NOT NULL,
    priority     TEXT NOT NULL,
    subject      TEXT NOT NULL,
    requester    TEXT NOT NULL,
    follow_up_of INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX ticket_by_queue ON ticket (tenant, queue, id);
CREATE INDEX ticket_by_assignee ON ticket (tenant, assignee, id) WHERE assignee IS NOT NULL;
