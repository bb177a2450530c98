-- Follow-ups whose six years are over; what is known of them goes along.
-- Parameters: before (first day of the oldest month that is still kept).
DELETE FROM follow_up WHERE campaign_date < :before
