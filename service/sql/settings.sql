-- Settings of the bot as a whole: table settings.

-- name: SetSetting
INSERT OR REPLACE INTO settings (key, value)
VALUES (:key, :value);

-- name: GetSetting
-- The default stands in for a missing row only: a stored NULL is an answer.
SELECT value
FROM settings
WHERE key = :key
UNION ALL
SELECT :default_value AS value
WHERE NOT EXISTS (SELECT 1 FROM settings WHERE key = :key);

-- name: GetSettings
-- By rowid too: a key may be NULL, and that several times.
SELECT key, value
FROM settings
ORDER BY key, rowid;
