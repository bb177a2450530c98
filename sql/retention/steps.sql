-- Times of tasks that nobody compares any more.
-- Parameters: since.
DELETE FROM step WHERE ended_at < :since
