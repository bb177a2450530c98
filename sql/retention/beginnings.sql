-- How preflight ended, of runs that nobody compares any more. A campaign's newest live one stays: what a
-- page says of the campaign rests on it.
-- Parameters: since.
DELETE FROM beginning AS b
WHERE begun_at < :since
    AND EXISTS (SELECT FROM beginning AS n
                WHERE n.campaign = b.campaign AND n.mode = 'live' AND n.begun_at > b.begun_at)
