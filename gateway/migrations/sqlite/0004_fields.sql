-- Custom fields, and what agents have begun to write.

CREATE TABLE field (
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    key    TEXT NOT NULL,
    -- The definition: a JSON object.
    spec   TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER field_added AFTER INSERT ON field BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER field_changed AFTER UPDATE ON field BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER field_deleted AFTER DELETE ON field BEGIN UPDATE directory SET revision = revision + 1; END;

CREATE TABLE draft (
    tenant INTEGER NOT NULL,
    agent  INTEGER NOT NULL,
    ticket INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    -- What was begun: a JSON object.
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, agent, ticket)
) STRICT, WITHOUT ROWID;

-- A ticket that is merged into another is closed, whatever edges its lifecycle has.
DROP TRIGGER event_keeps_to_edges;

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
    )) AND NOT (new.kind = 'merged' AND EXISTS (
        SELECT 1 FROM status AS one, status AS other
        WHERE one.tenant = new.tenant AND one.number = new.status_from
          AND other.tenant = new.tenant AND other.number = new.status AND other.lifecycle = one.lifecycle
          AND other.category = 'closed'
    ));
END;
