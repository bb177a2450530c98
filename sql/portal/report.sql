-- "This was not me": from now on nobody opens the letter until the practice has looked. The same for an
-- id that no letter has.
-- Parameters: message_id.
INSERT INTO portal_guess AS g (message_id, reported_at) VALUES (:message_id, clock_timestamp())
ON CONFLICT (message_id) DO UPDATE
SET reported_at = coalesce(g.reported_at, clock_timestamp()), last_at = clock_timestamp()
