-- People, and what they may do.

-- The same for names that look alike, so that no two of a tenant do. NULL: not computed yet, or another name that is
-- older has it.
ALTER TABLE agent ADD COLUMN skeleton TEXT;
ALTER TABLE queue ADD COLUMN skeleton TEXT;
-- Since when the agent is let in no more.
ALTER TABLE agent ADD COLUMN deactivated_at INTEGER;
CREATE UNIQUE INDEX agent_by_skeleton ON agent (tenant, skeleton);
CREATE UNIQUE INDEX queue_by_skeleton ON queue (tenant, skeleton);

CREATE TABLE team (
    tenant   INTEGER NOT NULL REFERENCES tenant (id),
    id       INTEGER NOT NULL,
    name     TEXT NOT NULL,
    skeleton TEXT,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name),
    UNIQUE (tenant, skeleton)
) STRICT, WITHOUT ROWID;

CREATE TABLE team_member (
    tenant INTEGER NOT NULL,
    team   INTEGER NOT NULL,
    agent  INTEGER NOT NULL,
    PRIMARY KEY (tenant, team, agent),
    FOREIGN KEY (tenant, team) REFERENCES team (tenant, id),
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE role (
    tenant     INTEGER NOT NULL REFERENCES tenant (id),
    id         INTEGER NOT NULL,
    name       TEXT NOT NULL,
    skeleton   TEXT,
    -- Names with spaces between them; a star is every right, those of later versions included.
    rights     TEXT NOT NULL,
    -- 1: every tenant has it, and it stays as it is.
    is_builtin INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name),
    UNIQUE (tenant, skeleton)
) STRICT, WITHOUT ROWID;

-- A role that an agent or a team has, in one queue or (NULL) in all.
CREATE TABLE role_grant (
    tenant INTEGER NOT NULL,
    id     INTEGER NOT NULL,
    role   INTEGER NOT NULL,
    agent  INTEGER,
    team   INTEGER,
    queue  INTEGER,
    PRIMARY KEY (tenant, id),
    CHECK ((agent IS NULL) <> (team IS NULL)),
    FOREIGN KEY (tenant, role) REFERENCES role (tenant, id),
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, id),
    FOREIGN KEY (tenant, team) REFERENCES team (tenant, id),
    FOREIGN KEY (tenant, queue) REFERENCES queue (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX role_grant_once
    ON role_grant (tenant, role, coalesce(agent, 0), coalesce(team, 0), coalesce(queue, 0));

CREATE VIEW default_role (id, name, rights) AS VALUES
    (1, 'admin', '*'),
    (2, 'agent', 'see create reply note claim assign edit move_queue close merge'),
    (3, 'viewer', 'see');

INSERT INTO role (tenant, id, name, skeleton, rights, is_builtin)
SELECT tenant.id, default_role.id, default_role.name, NULL, rights, 1 FROM tenant, default_role;

CREATE TRIGGER tenant_has_roles AFTER INSERT ON tenant BEGIN
    INSERT INTO role (tenant, id, name, skeleton, rights, is_builtin)
    SELECT new.id, id, name, NULL, rights, 1 FROM default_role;
END;

-- Everybody keeps what he had: agents with an administrator's token administer, the others work on tickets.
INSERT INTO role_grant (tenant, id, role, agent)
SELECT tenant, row_number() OVER (PARTITION BY tenant ORDER BY id),
       CASE WHEN EXISTS (
           SELECT 1 FROM token
           WHERE token.tenant = agent.tenant AND token.agent = agent.id AND instr(scope, 'admin') > 0 AND revoked_at IS NULL
       ) THEN 1 ELSE 2 END,
       id
FROM agent;

-- Whoever asks, and by what one is known again.
CREATE TABLE requester (
    tenant      INTEGER NOT NULL REFERENCES tenant (id),
    id          INTEGER NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    -- Who it is: never one that is merged itself.
    merged_into INTEGER,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, merged_into) REFERENCES requester (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requester_by_merged ON requester (tenant, merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE requester_identity (
    tenant    INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    -- In its normal form.
    value     TEXT NOT NULL,
    requester INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, value),
    FOREIGN KEY (tenant, requester) REFERENCES requester (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX requester_identity_by_requester ON requester_identity (tenant, requester);

CREATE TRIGGER agent_changed AFTER UPDATE OF name, deactivated_at ON agent BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER queue_renamed AFTER UPDATE OF name ON queue BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER team_added AFTER INSERT ON team BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER team_changed AFTER UPDATE OF name ON team BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER team_deleted AFTER DELETE ON team BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER team_member_added AFTER INSERT ON team_member BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER team_member_removed AFTER DELETE ON team_member BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER role_added AFTER INSERT ON role BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER role_changed AFTER UPDATE OF name, rights ON role BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER role_deleted AFTER DELETE ON role BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER role_granted AFTER INSERT ON role_grant BEGIN UPDATE directory SET revision = revision + 1; END;
CREATE TRIGGER role_withdrawn AFTER DELETE ON role_grant BEGIN UPDATE directory SET revision = revision + 1; END;
