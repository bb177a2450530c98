-- Take the next message that waits, for one try: what the practice has to know first, then what was tried
-- least, so that an address that is always put off holds nobody up. What an earlier try came to is no word
-- of this one.
-- Parameters: lost (seconds after which a try whose end nobody wrote down counts as none).
UPDATE portal_mail SET claimed_at = clock_timestamp(), tries = tries + 1, outcome = NULL
WHERE mail_id = (
    SELECT mail_id FROM portal_mail
    WHERE (claimed_at IS NULL
           OR (outcome IS NULL AND claimed_at < clock_timestamp() - CAST(:lost AS int) * INTERVAL '1 second'))
      AND not_before <= clock_timestamp()
    ORDER BY (kind = 'incident') DESC, tries, queued_at
    LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING mail_id, kind, sealed, tries
