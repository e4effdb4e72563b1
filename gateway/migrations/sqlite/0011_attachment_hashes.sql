-- Whether any ticket has a file, and all files that tickets have, in order.
CREATE INDEX attachment_hash ON attachment (hash, bytes);
