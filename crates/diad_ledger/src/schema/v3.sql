-- Version 3: repeats, and the product in force.

-- 1 for a part whose mark had come before while that part may have been at the gate. NULL otherwise, and then no part of the
-- checksum: what older versions wrote reads as it was written.
ALTER TABLE parts ADD COLUMN repeat INTEGER CHECK (repeat = 1);
ALTER TABLE late ADD COLUMN repeat INTEGER CHECK (repeat = 1);

-- The change-over that each station has acknowledged last.
CREATE TABLE in_force (
    line TEXT NOT NULL,
    station TEXT NOT NULL,
    product TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    PRIMARY KEY (line, station)
) STRICT, WITHOUT ROWID;

DROP VIEW verdicts;
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
    p.acknowledged_us IS NOT NULL AS sent,
    p.repeat IS NOT NULL AS repeat
FROM parts AS p
JOIN series AS s ON s.id = p.series
JOIN origins AS o ON o.id = p.origin;
