-- Letters of a chunk that a store which came back from a backup may have sent before (restored.py):
-- all that are open, of every run up to the first of the campaign that was opened since and is settled.
-- Parameters: run_id, campaign, chunk, reason.
UPDATE letter
SET state = 'unknown', reason = :reason, settled_at = clock_timestamp(),
    evidence = NULL, final_reply = NULL
WHERE sender_run_id = :run_id AND chunk = :chunk AND rehearsal IS NULL
  AND state IN ('composed', 'deferred')
  AND EXISTS (
      SELECT FROM restoration x
      WHERE NOT EXISTS (
          SELECT FROM run o JOIN run this ON this.run_id = :run_id
          WHERE o.campaign = :campaign AND o.mode = 'live' AND o.finished_at IS NOT NULL
            AND o.opened_at > x.accepted_at AND o.opened_at < this.opened_at
      )
  )
RETURNING letter_id
