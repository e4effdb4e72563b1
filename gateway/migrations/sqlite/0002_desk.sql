-- A ticket's status is the index of its status among its tenant's. What a ticket has beyond the columns is one
-- JSON object, `extra`; an event that changes something of it says so by a merge patch (RFC 7396).

DROP TRIGGER batch_inserted;
DROP VIEW batch;
DROP INDEX ticket_by_queue;
DROP INDEX ticket_by_assignee;
ALTER TABLE ticket RENAME TO ticket_before;

CREATE TABLE ticket (
    tenant       INTEGER NOT NULL,
    id           INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    -- Offset of its newest event.
    newest       INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    assignee     INTEGER,
    queue        INTEGER NOT NULL,
    priority     TEXT NOT NULL,
    subject      TEXT NOT NULL,
    requester    TEXT NOT NULL,
    follow_up_of INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    extra        TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

INSERT INTO ticket (tenant, id, version, newest, status, fence, assignee, queue, priority, subject, requester,
                    follow_up_of, created_at, updated_at)
SELECT tenant, id, version, newest,
       CASE status WHEN 'new' THEN 0 WHEN 'open' THEN 1 WHEN 'pending' THEN 2 WHEN 'on_hold' THEN 3
                   WHEN 'solved' THEN 4 WHEN 'closed' THEN 5 END,
       fence, assignee, queue, priority, subject, requester, follow_up_of, created_at, updated_at
FROM ticket_before;

DROP TABLE ticket_before;

CREATE INDEX ticket_by_queue ON ticket (tenant, queue, id);
CREATE INDEX ticket_by_assignee ON ticket (tenant, assignee, id) WHERE assignee IS NOT NULL;

-- As before, with `patch`, which is NULL where an event changes nothing of `extra`.
CREATE VIEW batch (
    tenant, offset, ticket, version, kind, actor, at, queue, queue_from, agent, agent_from, previous,
    data, caller, key, fingerprint, touches, status, fence, priority, subject, requester, follow_up_of, patch
) AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER batch_inserted INSTEAD OF INSERT ON batch WHEN new.tenant IS NOT NULL BEGIN
    UPDATE tenant SET offset = new.offset, ticket = max(ticket, new.ticket)
    WHERE id = new.tenant AND offset = new.offset - 1;
    SELECT RAISE(ABORT, 'conflict: the head of the log has moved') WHERE changes() <> 1;

    INSERT INTO ticket (tenant, id, version, newest, status, fence, assignee, queue, priority,
                        subject, requester, follow_up_of, created_at, updated_at, extra)
    SELECT new.tenant, new.ticket, new.version, new.offset, new.status, new.fence, new.agent, new.queue,
           new.priority, new.subject, new.requester, new.follow_up_of, new.at, new.at,
           json_patch('{}', coalesce(new.patch, '{}'))
    WHERE new.touches = 0;

    UPDATE ticket SET version = new.version, newest = new.offset, status = new.status, updated_at = new.at
    WHERE new.touches = 1 AND tenant = new.tenant AND id = new.ticket AND version = new.version - 1;

    UPDATE ticket SET version = new.version, newest = new.offset, status = new.status, updated_at = new.at,
                      fence = new.fence, assignee = new.agent, queue = new.queue,
                      priority = coalesce(new.priority, priority), subject = coalesce(new.subject, subject),
                      extra = CASE WHEN new.patch IS NULL THEN extra ELSE json_patch(extra, new.patch) END
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
