-- What a patient has told us so far.
-- Parameters: patient (pseudonym).
SELECT
    ARRAY(SELECT coalesce(o.campaign, '*') FROM opt_out o WHERE o.patient = :patient ORDER BY 1) AS stopped,
    ARRAY(SELECT DISTINCT coalesce(r.purpose, '*') FROM revocation r WHERE r.patient = :patient
          ORDER BY 1) AS revoked,
    EXISTS (SELECT 1 FROM restriction x WHERE x.patient = :patient) AS restricted,
    (SELECT p.value FROM preference p WHERE p.patient = :patient AND p.kind = 'language'
     ORDER BY p.at DESC, p.received_at DESC LIMIT 1) AS language,
    (SELECT p.value FROM preference p WHERE p.patient = :patient AND p.kind = 'address'
     ORDER BY p.at DESC, p.received_at DESC LIMIT 1) AS address,
    EXISTS (SELECT 1 FROM portal_address a WHERE a.patient = :patient AND a.token IS NOT NULL
            AND a.asked_at > clock_timestamp() - INTERVAL '3 days') AS confirming
