-- Runs whose six years are over and to which nothing belongs any more, with their parts.
-- Parameters: before (first day of the oldest month that is still kept).
WITH over AS (
    SELECT run_id FROM run AS r
    WHERE campaign_date < :before
        AND NOT EXISTS (SELECT FROM letter AS l
                        WHERE r.run_id IN (l.run_id, l.sender_run_id, l.rehearsal))
        AND NOT EXISTS (SELECT FROM decision AS d WHERE d.run_id = r.run_id)
        AND NOT EXISTS (SELECT FROM follow_up AS f WHERE f.run_id = r.run_id)
),
steps AS (DELETE FROM step WHERE run_id IN (SELECT run_id FROM over)),
parts AS (DELETE FROM batch_part WHERE run_id IN (SELECT run_id FROM over)),
keys AS (DELETE FROM follow_up_key WHERE run_id IN (SELECT run_id FROM over)),
watches AS (DELETE FROM watch WHERE run_id IN (SELECT run_id FROM over)),
pauses AS (DELETE FROM pause WHERE run_id IN (SELECT run_id FROM over))
DELETE FROM run WHERE run_id IN (SELECT run_id FROM over)
