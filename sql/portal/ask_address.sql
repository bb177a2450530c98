-- Keep an address that a patient named until whoever reads its mail confirms it; none where so many are
-- being confirmed already that the message would be a nuisance.
-- Parameters: patient, recipient, instead_of (pseudonyms), sealed, token (digest), language, most (a day).
INSERT INTO portal_address AS a (patient, recipient, instead_of, sealed, token, language, asked_at)
SELECT :patient, :recipient, :instead_of, :sealed, :token, :language, clock_timestamp()
WHERE (SELECT count(*) FROM portal_address x
       WHERE x.patient = :patient AND x.asked_at > clock_timestamp() - INTERVAL '1 day') < CAST(:most AS int)
ON CONFLICT (patient, recipient) DO UPDATE
SET instead_of = excluded.instead_of, sealed = excluded.sealed, token = excluded.token,
    language = excluded.language, asked_at = excluded.asked_at
WHERE a.asked_at < clock_timestamp() - INTERVAL '10 minutes'
RETURNING recipient
