-- Letters whose six years are over; their incidents and what is left of them at the portal go along.
-- One that is open or `unknown` stays: somebody must find out first.
-- Parameters: before (first day of the oldest month that is still kept).
DELETE FROM letter
WHERE campaign_date < :before AND state IN ('sent', 'refused', 'withheld', 'rehearsed')
