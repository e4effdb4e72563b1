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
    -- Offset of the ticket's event before this one: a ticket's history is a chain from its newest
    -- event. An index by ticket would touch a page of its own for every event.
    previous    INTEGER,
    data        TEXT NOT NULL,
    -- The Idempotency-Key of the request behind it, whose it was, and the request's hash.
    caller      TEXT,
    key         TEXT,
    fingerprint INTEGER,
    PRIMARY KEY (tenant, offset)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX event_by_key ON event (tenant, key, caller) WHERE key IS NOT NULL;

CREATE TABLE ticket (
    tenant       INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    -- Offset of its newest event.
    newest       INTEGER NOT NULL,
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

-- What the ledger inserts into: one row per event, one statement per batch, which is one transaction.
-- The trigger writes head, ticket and event, and refuses the whole batch where a head or a ticket is
-- not where the ledger left it: another writer has been here.
--
-- `touches` says which part of the ticket the event changes: 0 it is new, 1 its status and version,
-- 2 anything. 1 leaves the indexed columns out of SET: SQLite rewrites an index entry for every column
-- that is named there, changed or not.
CREATE VIEW batch (
    tenant, offset, ticket, version, kind, actor, at, queue, queue_from, agent, agent_from, previous,
    data, caller, key, fingerprint, touches, status, fence, priority, subject, requester, follow_up_of
) AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER batch_inserted INSTEAD OF INSERT ON batch WHEN new.tenant IS NOT NULL BEGIN
    UPDATE tenant SET offset = new.offset, ticket = max(ticket, new.ticket)
    WHERE id = new.tenant AND offset = new.offset - 1;
    SELECT RAISE(ABORT, 'conflict: the head of the log has moved') WHERE changes() <> 1;

    INSERT INTO ticket (tenant, id, version, newest, status, fence, assignee, queue, priority,
                        subject, requester, follow_up_of, created_at, updated_at)
    SELECT new.tenant, new.ticket, new.version, new.offset, new.status, new.fence, new.agent, new.queue,
           new.priority, new.subject, new.requester, new.follow_up_of, new.at, new.at
    WHERE new.touches = 0;

    UPDATE ticket SET version = new.version, newest = new.offset, status = new.status, updated_at = new.at
    WHERE new.touches = 1 AND tenant = new.tenant AND id = new.ticket AND version = new.version - 1;

    UPDATE ticket SET version = new.version, newest = new.offset, status = new.status, updated_at = new.at,
                      fence = new.fence, assignee = new.agent, queue = new.queue,
                      priority = coalesce(new.priority, priority), subject = coalesce(new.subject, subject)
    WHERE new.touches = 2 AND tenant = new.tenant AND id = new.ticket AND version = new.version - 1;

    SELECT RAISE(ABORT, 'conflict: a ticket is at another version')
    WHERE NOT EXISTS (
        SELECT 1 FROM ticket WHERE tenant = new.tenant AND id = new.ticket AND newest = new.offset
    );

    INSERT INTO event (tenant, offset, ticket, version, kind, actor, at, queue, queue_from, agent,
                       agent_from, previous, data, caller, key, fingerprint)
    VALUES (new.tenant, new.offset, new.ticket, new.version, new.kind, new.actor, new.at, new.queue,
            new.queue_from, new.agent, new.agent_from, new.previous, new.data, new.caller, new.key,
            new.fingerprint);
END;
