-- What these patients asked for: the newest word on the language and on the address.
-- Parameters: patients (pseudonyms).
SELECT
    asked.patient,
    spoken.value AS language,
    split_part(moved.value, ':', 1) AS instead_of,
    split_part(moved.value, ':', 2) AS recipient,
    a.sealed
FROM unnest(CAST(:patients AS text[])) AS asked (patient)
LEFT JOIN LATERAL (
    SELECT p.value FROM preference p WHERE p.patient = asked.patient AND p.kind = 'language'
    ORDER BY p.at DESC, p.received_at DESC LIMIT 1
) AS spoken ON true
LEFT JOIN LATERAL (
    SELECT p.value FROM preference p WHERE p.patient = asked.patient AND p.kind = 'address'
    ORDER BY p.at DESC, p.received_at DESC LIMIT 1
) AS moved ON true
LEFT JOIN portal_address a
    ON a.patient = asked.patient AND a.recipient = split_part(moved.value, ':', 2)
    AND a.confirmed_at IS NOT NULL
WHERE spoken.value IS NOT NULL OR moved.value IS NOT NULL
