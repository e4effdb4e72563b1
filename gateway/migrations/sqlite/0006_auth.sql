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
