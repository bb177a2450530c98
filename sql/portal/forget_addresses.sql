-- Forget addresses that patients named: one that nobody can confirm any more; a confirmed one from which
-- the patient's newest word on addresses has moved on; and one of a patient to whom no letter went for years.
-- Parameters: days (for which a confirmation can be given), years (in days).
DELETE FROM portal_address a
WHERE (a.token IS NULL OR a.asked_at < clock_timestamp() - CAST(:days AS int) * INTERVAL '1 day')
  AND (
    a.confirmed_at IS NULL
    OR a.recipient IS DISTINCT FROM (
        SELECT split_part(p.value, ':', 2) FROM preference p
        WHERE p.patient = a.patient AND p.kind = 'address'
        ORDER BY p.at DESC, p.received_at DESC LIMIT 1)
    OR (a.confirmed_at < clock_timestamp() - CAST(:years AS int) * INTERVAL '1 day'
        AND NOT EXISTS (
            SELECT 1 FROM letter l WHERE l.patient = a.patient AND l.state = 'sent'
              AND l.settled_at > clock_timestamp() - CAST(:years AS int) * INTERVAL '1 day'))
  )
