-- Letters of dry runs and replays: they left nowhere.
-- Parameters: since.
DELETE FROM letter WHERE rehearsal IS NOT NULL AND composed_at < :since
