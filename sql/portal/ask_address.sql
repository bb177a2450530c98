-- Keep an address that a patient named until whoever reads its mail confirms it. One that was asked a
-- moment ago is not asked again: no row.
-- Parameters: patient, recipient, instead_of (pseudonyms), sealed, token (digest), language.
INSERT INTO portal_address AS a (patient, recipient, instead_of, sealed, token, language, asked_at)
VALUES (:patient, :recipient, :instead_of, :sealed, :token, :language, clock_timestamp())
ON CONFLICT (patient, recipient) DO UPDATE
SET instead_of = excluded.instead_of, sealed = excluded.sealed, token = excluded.token,
    language = excluded.language, asked_at = excluded.asked_at
WHERE a.token IS NULL OR a.asked_at < clock_timestamp() - INTERVAL '10 minutes'
RETURNING recipient
