-- Version 1 of the ledger. Never edited once released: a change is a new file, listed in schema.rs.
--
-- Times: `_us` are microseconds since 1970 UTC; `_at` shows the same as text; `_ns` are durations.
-- Digests are the 32 bytes of a SHA-256.

-- Every start of the daemon, for ever: a run id is greater than every one before it.
CREATE TABLE runs (
    run TEXT NOT NULL PRIMARY KEY,
    line TEXT NOT NULL,
    station TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    started_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%S', started_us / 1000000, 'unixepoch')
        || printf('.%06dZ', started_us % 1000000)) VIRTUAL
) STRICT, WITHOUT ROWID;

-- The four parts of a key that parts share.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    line TEXT NOT NULL,
    station TEXT NOT NULL,
    camera TEXT NOT NULL,
    run TEXT NOT NULL,
    UNIQUE (run, camera, line, station)
) STRICT;

-- What verdicts were made with.
CREATE TABLE origins (
    id INTEGER PRIMARY KEY,
    model BLOB NOT NULL CHECK (length(model) = 32),
    thresholds BLOB NOT NULL CHECK (length(thresholds) = 32),
    settings BLOB NOT NULL CHECK (length(settings) = 32),
    UNIQUE (thresholds, settings, model)
) STRICT;

-- The verdicts: one row per part, the first that came. Nothing but the acknowledgement is ever written again.
CREATE TABLE parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series INTEGER NOT NULL REFERENCES series (id),
    seq INTEGER NOT NULL,
    part TEXT,
    product TEXT,
    source TEXT,
    verdict TEXT NOT NULL CHECK (verdict IN ('PASS', 'REVIEW', 'REJECT', 'UNJUDGED')),
    reason TEXT CHECK ((reason IS NOT NULL) = (verdict = 'UNJUDGED')),
    score REAL CHECK ((score IS NULL) = (verdict = 'UNJUDGED')),
    review_at REAL CHECK ((review_at IS NULL) = (verdict = 'UNJUDGED')),
    reject_at REAL CHECK ((reject_at IS NULL) = (verdict = 'UNJUDGED')),
    min_area_px INTEGER CHECK ((min_area_px IS NULL) = (verdict = 'UNJUDGED')),
    x_px INTEGER CHECK ((x_px IS NULL) = (verdict = 'UNJUDGED')),
    y_px INTEGER CHECK ((y_px IS NULL) = (verdict = 'UNJUDGED')),
    width_px INTEGER CHECK ((width_px IS NULL) = (verdict = 'UNJUDGED')),
    height_px INTEGER CHECK ((height_px IS NULL) = (verdict = 'UNJUDGED')),
    captured_us INTEGER NOT NULL,
    judged_us INTEGER NOT NULL,
    latency_ns INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    wait_ns INTEGER,
    prepare_ns INTEGER,
    encode_ns INTEGER,
    hint_ns INTEGER,
    denoise_ns INTEGER,
    decode_ns INTEGER,
    features_ns INTEGER,
    map_ns INTEGER,
    score_ns INTEGER,
    origin INTEGER NOT NULL REFERENCES origins (id),
    -- Of everything above, names and digests in full: see cells.rs.
    crc32 INTEGER NOT NULL,
    -- When the broker acknowledged it; while NULL it is owed.
    acknowledged_us INTEGER,
    UNIQUE (series, seq)
) STRICT;

-- Results that came after the verdict of their part. They are evidence, never verdicts.
CREATE TABLE late (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_id INTEGER NOT NULL REFERENCES parts (id) ON DELETE CASCADE,
    series INTEGER NOT NULL REFERENCES series (id),
    seq INTEGER NOT NULL,
    part TEXT,
    product TEXT,
    source TEXT,
    verdict TEXT NOT NULL CHECK (verdict IN ('PASS', 'REVIEW', 'REJECT', 'UNJUDGED')),
    reason TEXT CHECK ((reason IS NOT NULL) = (verdict = 'UNJUDGED')),
    score REAL CHECK ((score IS NULL) = (verdict = 'UNJUDGED')),
    review_at REAL CHECK ((review_at IS NULL) = (verdict = 'UNJUDGED')),
    reject_at REAL CHECK ((reject_at IS NULL) = (verdict = 'UNJUDGED')),
    min_area_px INTEGER CHECK ((min_area_px IS NULL) = (verdict = 'UNJUDGED')),
    x_px INTEGER CHECK ((x_px IS NULL) = (verdict = 'UNJUDGED')),
    y_px INTEGER CHECK ((y_px IS NULL) = (verdict = 'UNJUDGED')),
    width_px INTEGER CHECK ((width_px IS NULL) = (verdict = 'UNJUDGED')),
    height_px INTEGER CHECK ((height_px IS NULL) = (verdict = 'UNJUDGED')),
    captured_us INTEGER NOT NULL,
    judged_us INTEGER NOT NULL,
    latency_ns INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    wait_ns INTEGER,
    prepare_ns INTEGER,
    encode_ns INTEGER,
    hint_ns INTEGER,
    denoise_ns INTEGER,
    decode_ns INTEGER,
    features_ns INTEGER,
    map_ns INTEGER,
    score_ns INTEGER,
    origin INTEGER NOT NULL REFERENCES origins (id),
    crc32 INTEGER NOT NULL
) STRICT;

-- Parts that have entered and have no verdict yet. What is left here by a run that has ended never gets another chance.
CREATE TABLE entered (
    series INTEGER NOT NULL REFERENCES series (id),
    seq INTEGER NOT NULL,
    part TEXT,
    product TEXT,
    captured_us INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    origin INTEGER NOT NULL REFERENCES origins (id),
    PRIMARY KEY (series, seq)
) STRICT, WITHOUT ROWID;

-- Parts that got a verdict while the ledger could not be written.
CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id),
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    parts INTEGER NOT NULL CHECK (parts > 0),
    since_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    cause TEXT NOT NULL
) STRICT;

-- Parts that retention has deleted: verify must not take them for lost ones.
CREATE TABLE purged (
    series INTEGER NOT NULL REFERENCES series (id),
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    PRIMARY KEY (series, from_seq)
) STRICT, WITHOUT ROWID;

-- The outbox reads this in order: its cost is what is owed, not what is kept.
CREATE INDEX parts_owed ON parts (id) WHERE acknowledged_us IS NULL;
-- Retention, export and what-if go by time.
CREATE INDEX parts_by_time ON parts (captured_us);
CREATE INDEX late_by_first ON late (first_id);

-- For people with a database shell: the verdicts, in the words of the wire.
CREATE VIEW verdicts AS
SELECT
    p.id, s.line, s.station, s.camera, s.run, p.seq, p.part, p.product, p.verdict, p.reason, p.score, p.review_at,
    p.reject_at, p.x_px, p.y_px, p.width_px, p.height_px,
    strftime('%Y-%m-%dT%H:%M:%S', p.captured_us / 1000000, 'unixepoch')
        || printf('.%06dZ', p.captured_us % 1000000) AS captured_at,
    strftime('%Y-%m-%dT%H:%M:%S', p.judged_us / 1000000, 'unixepoch')
        || printf('.%06dZ', p.judged_us % 1000000) AS judged_at,
    p.latency_ns / 1e6 AS latency_ms,
    p.deadline_ms,
    'sha256:' || lower(hex(o.model)) AS model,
    'sha256:' || lower(hex(o.thresholds)) AS thresholds,
    'sha256:' || lower(hex(o.settings)) AS settings,
    p.acknowledged_us IS NOT NULL AS sent
FROM parts AS p
JOIN series AS s ON s.id = p.series
JOIN origins AS o ON o.id = p.origin;
