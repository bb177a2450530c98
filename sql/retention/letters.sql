-- Letters whose six years are over; their incidents and what is left of them at the portal go along.
-- One that is open or `unknown` stays: somebody must find out first. So does one with an incident that is
-- open or younger: a letter's links work for six years, and whoever says on the last day that it is not
-- theirs makes an incident that is kept for six years from then.
-- Parameters: before (first day of the oldest month that is still kept).
DELETE FROM letter AS l
WHERE campaign_date < :before AND state IN ('sent', 'refused', 'withheld', 'rehearsed')
    AND NOT EXISTS (SELECT FROM portal_incident AS i
                    WHERE i.letter_id = l.letter_id
                        AND (i.closed_at IS NULL OR i.closed_at >= CAST(:before AS date)))
