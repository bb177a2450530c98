-- What an answer for this id is compared with, and the letter's language; no row where no such letter
-- waits or its time is over.
-- Parameters: message_id, now (the practice's instant, by which letters expire).
SELECT verifier, language FROM portal_message
WHERE message_id = :message_id AND expires_at > CAST(:now AS timestamptz)
