-- Letters at the portal that came back with the store and are closed, by who said that they are not theirs
-- or by wrong answers: nobody opens one until the practice has looked. Known from the journal of
-- suppressions and from the incidents that are open.
-- Parameters: most (wrong answers that lock).
INSERT INTO portal_guess AS g (message_id, wrong, reported_at)
SELECT m.message_id, max(closed.wrong), max(closed.reported_at)
FROM (
    SELECT letter_id, 0 AS wrong, at AS reported_at
    FROM suppression WHERE reason = 'not_me' AND lifted_at IS NULL
    UNION ALL
    SELECT letter_id, CASE kind WHEN 'locked' THEN CAST(:most AS int) ELSE 0 END,
        CASE kind WHEN 'not_me' THEN opened_at END
    FROM portal_incident WHERE closed_at IS NULL
) AS closed
JOIN portal_message m USING (letter_id)
WHERE m.sealed <> ''
GROUP BY m.message_id
ON CONFLICT (message_id) DO UPDATE
SET wrong = greatest(g.wrong, excluded.wrong),
    reported_at = coalesce(g.reported_at, excluded.reported_at), last_at = clock_timestamp()
