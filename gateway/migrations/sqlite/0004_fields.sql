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
