-- Follow-ups whose six years are over; what is known of them goes along.
-- Parameters: before (first day of the oldest month that is still kept; six years from the last day of
-- asking about it, not from its letter's).
DELETE FROM follow_up WHERE campaign_date < :before
