-- Version 5: every table carries checksums, and retention has an index of its own.
--
-- `crc32` is taken over the name of the table and its other columns: see seal.rs. What is there already is sealed here, as it
-- reads now. Rows of `parts` and `late` had a checksum before; since this version it covers the acknowledgement as well.

-- Retention looks for what is old among what is acknowledged: what is owed, however much and however old, costs it nothing.
CREATE INDEX parts_kept ON parts (captured_us) WHERE acknowledged_us IS NOT NULL;

ALTER TABLE runs ADD COLUMN crc32 INTEGER;
ALTER TABLE entered ADD COLUMN crc32 INTEGER;
ALTER TABLE gaps ADD COLUMN crc32 INTEGER;
ALTER TABLE purged ADD COLUMN crc32 INTEGER;
ALTER TABLE marks ADD COLUMN crc32 INTEGER;
ALTER TABLE in_force ADD COLUMN crc32 INTEGER;

UPDATE runs SET crc32 = checksum('runs', run, line, station, started_us);
UPDATE entered SET crc32 = checksum('entered', series, seq, part, product, captured_us, deadline_ms, origin);
UPDATE gaps SET crc32 = checksum('gaps', series, from_seq, to_seq, parts, since_us, until_us, cause);
UPDATE purged SET crc32 = checksum('purged', series, from_seq, to_seq);
UPDATE marks SET crc32 = checksum('marks', part, mark, at_us);
UPDATE in_force SET crc32 = checksum('in_force', line, station, product, since_us);
