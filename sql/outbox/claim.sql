-- Claim letters for sending: the last look and the change of state are one statement, so that an
-- opt-out or suppression committed a moment ago wins. What the warehouse said of these letters is
-- handed in with the time of reading and counts for one minute only.
-- Parameters: letter_ids, recipients, reasons (one each per letter), claim, warehouse_read_at, now,
-- cap_days.
WITH looked AS (
    SELECT
        l.letter_id,
        CASE
            WHEN l.expires_at <= CAST(:now AS timestamptz) THEN 'too_late'
            WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = l.patient
                         AND (o.campaign IS NULL OR o.campaign = l.campaign)) THEN 'opted_out'
            WHEN EXISTS (SELECT 1 FROM suppression s WHERE s.recipient = known.recipient) THEN 'address_suppressed'
            -- Whatever run composed them: never two letters of a campaign within its cap.
            WHEN EXISTS (SELECT 1 FROM letter o
                         WHERE o.patient = l.patient AND o.campaign = l.campaign
                           AND o.letter_id <> l.letter_id AND o.rehearsal IS NULL
                           AND o.state IN ('claimed', 'attempted', 'sent', 'unknown')
                           AND abs(o.campaign_date - l.campaign_date) < CAST(:cap_days AS int))
                 THEN 'frequency_cap'
            ELSE known.reason
        END AS reason
    FROM unnest(CAST(:letter_ids AS uuid[]), CAST(:recipients AS text[]), CAST(:reasons AS text[]))
        AS known (letter_id, recipient, reason)
    JOIN letter l ON l.letter_id = known.letter_id
    WHERE l.state IN ('composed', 'deferred')
      AND l.rehearsal IS NULL
      AND l.checked_at IS NOT NULL
      AND CAST(:warehouse_read_at AS timestamptz) > clock_timestamp() - INTERVAL '1 minute'
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE letter
SET state = CASE WHEN looked.reason IS NULL THEN 'claimed' ELSE 'withheld' END,
    reason = looked.reason,
    claim = CAST(:claim AS uuid),
    claimed_at = clock_timestamp(),
    settled_at = CASE WHEN looked.reason IS NOT NULL THEN clock_timestamp() END
FROM looked
WHERE letter.letter_id = looked.letter_id
RETURNING letter.letter_id, letter.state
