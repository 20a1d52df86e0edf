-- Version 2: what people said of verdicts after looking at the part.

-- One word per part, the last one that was said.
CREATE TABLE marks (
    part INTEGER PRIMARY KEY REFERENCES parts (id) ON DELETE CASCADE,
    mark TEXT NOT NULL CHECK (mark IN ('true_reject', 'false_reject')),
    at_us INTEGER NOT NULL
) STRICT;
