-- Which of these states did somebody approve, and which state of each thing was approved last?
-- names, digests: side by side. The newest decision about a state counts. Gives a row per name.
SELECT asked.subject,
       coalesce(here.decision = 'approved', false) AS approved,
       before.sha256 AS last_approved
FROM unnest(CAST(:names AS text[]), CAST(:digests AS text[])) AS asked (subject, sha256)
LEFT JOIN LATERAL (
    SELECT decision FROM approval a
    WHERE a.subject = asked.subject AND a.sha256 = asked.sha256
    ORDER BY number DESC LIMIT 1
) here ON true
LEFT JOIN LATERAL (
    SELECT sha256 FROM approval a
    WHERE a.subject = asked.subject AND a.decision = 'approved'
    ORDER BY number DESC LIMIT 1
) before ON true
