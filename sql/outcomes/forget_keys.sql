-- Keys of patients whose last follow-up is over: nobody needs to be asked about them again.
-- Parameters: begun_since.
DELETE FROM follow_up_key AS k
WHERE NOT EXISTS (
    SELECT 1 FROM follow_up AS f
    WHERE f.run_id = k.run_id AND f.part = k.part AND f.begins_at > :begun_since
)
