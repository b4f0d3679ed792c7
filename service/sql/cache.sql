-- What bots keep to save asking again: table cache_storage and the six tables cache_TYPE.

-- name: GetCacheStorage
SELECT namespace, key, value, updated_at
FROM cache_storage
ORDER BY updated_at DESC, namespace, key;

-- name: SetCacheStorage
INSERT INTO cache_storage (namespace, key, value)
VALUES (:namespace, :key, :value)
ON CONFLICT (namespace, key) DO UPDATE
SET value = excluded.value, updated_at = CURRENT_TIMESTAMP;

-- name: UnsetCacheStorage
DELETE FROM cache_storage
WHERE namespace = :namespace AND key = :key;

-- name: GetCacheEntry
-- As moments, not as text: old rows hold fractions, offsets and the T separator. Greater or equal, as the wrapper has
-- it: the seconds of both sides are cut, and an entry set a moment ago is found with a ttl of 1.
SELECT key, data, created_at, updated_at
FROM cache_{cache_type}
WHERE key = :key AND (:ttl IS NULL OR (:ttl > 0 AND unixepoch(updated_at) >= unixepoch('now') - :ttl));

-- name: SetCacheEntry
INSERT INTO cache_{cache_type} (key, data)
VALUES (:key, :data)
ON CONFLICT (key) DO UPDATE
SET data = excluded.data, updated_at = CURRENT_TIMESTAMP;

-- name: ClearCache
DELETE FROM cache_{cache_type};
