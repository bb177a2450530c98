-- What an earlier try of the day kept, which nobody has reported on yet. Parameters: campaign, day.
DELETE FROM outcome AS o
USING follow_up AS f
WHERE f.follow_up_id = o.follow_up_id AND f.campaign = :campaign AND o.known_on = :day
