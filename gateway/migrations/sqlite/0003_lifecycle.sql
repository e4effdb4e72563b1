-- Lifecycles: each as it was saved, the statuses with their indexes, and what a ticket can go between.

CREATE TABLE lifecycle (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    id     INTEGER NOT NULL DEFAULT 1,
    -- NULL of one that was deleted: old events have its statuses.
    name   TEXT DEFAULT 'default',
    spec   TEXT NOT NULL DEFAULT '{"statuses":[{"name":"new","category":"new"},{"name":"open","category":"open"},{"name":"pending","category":"pending"},{"name":"on_hold","category":"on_hold"},{"name":"solved","category":"solved"},{"name":"closed","category":"closed"}],"edges":[{"from":"new","to":"open"},{"from":"new","to":"pending"},{"from":"new","to":"on_hold"},{"from":"new","to":"solved"},{"from":"open","to":"pending"},{"from":"open","to":"on_hold"},{"from":"open","to":"solved"},{"from":"pending","to":"open"},{"from":"pending","to":"on_hold"},{"from":"pending","to":"solved"},{"from":"on_hold","to":"open"},{"from":"on_hold","to":"pending"},{"from":"on_hold","to":"solved"},{"from":"solved","to":"open"},{"from":"solved","to":"closed"}],"defaults":{"initial":"new","taken":"open","message":"open","reopen":"open"}}',
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE status (
    tenant    INTEGER NOT NULL,
    -- Unique over all lifecycles of the tenant: what tickets and events have.
    number    INTEGER NOT NULL CHECK (number BETWEEN 0 AND 255),
    lifecycle INTEGER NOT NULL,
    name      TEXT NOT NULL,
    category  TEXT NOT NULL,
    -- Of one that was removed: what its tickets get.
    successor INTEGER,
    -- Of one that was removed: 1 when no ticket has it any more.
    settled   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, number),
    FOREIGN KEY (tenant, lifecycle) REFERENCES lifecycle (tenant, id)
) STRICT, WITHOUT ROWID;

-- What a ticket can go between while it stays in its queue: by a move, by itself, or because a status was removed.
CREATE TABLE edge (
    tenant      INTEGER NOT NULL,
    status_from INTEGER NOT NULL,
    status_to   INTEGER NOT NULL,
    -- Of one that was removed: what was admitted before this time still passes. Admission knows of a change at once
    -- or a moment later, and what it has admitted is on its way here.
    until       INTEGER,
    PRIMARY KEY (tenant, status_from, status_to)
) STRICT, WITHOUT ROWID;

ALTER TABLE queue ADD COLUMN lifecycle INTEGER NOT NULL DEFAULT 1;

-- What becomes of a queue's tickets that still have statuses of the lifecycle that it had before. Gone when none has.
CREATE TABLE queue_change (
    tenant      INTEGER NOT NULL,
    queue       INTEGER NOT NULL,
    status_from INTEGER NOT NULL,
    status_to   INTEGER NOT NULL,
    PRIMARY KEY (tenant, queue, status_from),
    FOREIGN KEY (tenant, queue) REFERENCES queue (tenant, id)
) STRICT, WITHOUT ROWID;

-- Every tenant has the built-in lifecycle from the start.
CREATE TRIGGER lifecycle_built_in AFTER INSERT ON lifecycle WHEN new.id = 1 BEGIN
    INSERT INTO status (tenant, number, lifecycle, name, category)
    SELECT new.tenant, key, 1, value ->> 'name', value ->> 'category' FROM json_each(new.spec, '$.statuses');

    INSERT INTO edge (tenant, status_from, status_to)
    SELECT new.tenant, one.number, other.number
    FROM json_each(new.spec, '$.edges'), status AS one, status AS other
    WHERE one.tenant = new.tenant AND one.name = value ->> 'from'
      AND other.tenant = new.tenant AND other.name = value ->> 'to';
END;

INSERT INTO lifecycle (tenant) SELECT id FROM tenant;

CREATE TRIGGER tenant_has_lifecycle AFTER INSERT ON tenant BEGIN INSERT INTO lifecycle (tenant) VALUES (new.id); END;

CREATE TRIGGER lifecycle_added AFTER INSERT ON lifecycle BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER lifecycle_changed AFTER UPDATE ON lifecycle BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER status_changed AFTER UPDATE ON status BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER queue_given_lifecycle AFTER UPDATE OF lifecycle ON queue BEGIN UPDATE directory SET revision = revision + 1; END;

-- Admission decides about edges; this refuses what comes past it. A ticket that goes to another queue may get a
-- status of that one's lifecycle.
CREATE TRIGGER event_keeps_to_edges BEFORE INSERT ON event
WHEN new.status_from IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM edge
    WHERE tenant = new.tenant AND status_from = new.status_from AND status_to = new.status
      AND (until IS NULL OR new.at < until)
) BEGIN
    SELECT RAISE(ABORT, 'the lifecycle has no such edge') WHERE NOT (new.queue_from IS NOT NULL AND EXISTS (
        SELECT 1 FROM status AS one, status AS other
        WHERE one.tenant = new.tenant AND one.number = new.status_from
          AND other.tenant = new.tenant AND other.number = new.status AND other.lifecycle <> one.lifecycle
    ));
END;
