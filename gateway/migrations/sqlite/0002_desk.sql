-- The log alone is the truth now: an event says what became of the ticket's parts (NULL: the same as before), and
-- the tickets that it folds to are in a database of their own, which is made anew whenever it is missing.

ALTER TABLE event ADD COLUMN status INTEGER;
ALTER TABLE event ADD COLUMN status_from INTEGER;
ALTER TABLE event ADD COLUMN fence INTEGER;
ALTER TABLE event ADD COLUMN priority TEXT;
-- What changes of the ticket beyond that: an RFC 7396 merge patch of its `extra` object.
ALTER TABLE event ADD COLUMN patch TEXT;

CREATE TEMPORARY TABLE place (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO place VALUES ('new', 0), ('open', 1), ('pending', 2), ('on_hold', 3), ('solved', 4), ('closed', 5);

UPDATE event SET
    status = (SELECT number FROM place WHERE name = json_extract(data, '$.status')),
    status_from = (SELECT number FROM place WHERE name = json_extract(data, '$.from')),
    fence = json_extract(data, '$.fence'),
    priority = json_extract(data, '$.priority');

DROP TABLE place;

DROP TRIGGER batch_inserted;
DROP VIEW batch;
DROP TABLE ticket;
-- The head of a log is its newest event's offset.
ALTER TABLE tenant DROP COLUMN offset;
ALTER TABLE tenant DROP COLUMN ticket;
