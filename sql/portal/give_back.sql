-- An answer could not be looked at, or was right and could not be told so: it is held against nobody.
-- Parameters: message_id.
UPDATE portal_guess
SET wrong = greatest(0, wrong - 1), wait_until = clock_timestamp(), last_at = clock_timestamp()
WHERE message_id = :message_id AND wrong > 0
