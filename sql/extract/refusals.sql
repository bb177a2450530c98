-- What patients refused by the warehouse's word, to be remembered by ourselves: a warehouse that is
-- restored from a backup cannot take it back (PRV-06, SEC-08).
-- Parameters: ends (what is dated later is not known on the campaign's day), revoked_since and
-- opted_out_since (what is older is remembered already; NULL = nothing is).
-- campaigns: the slugs there are; an opt-out of any other word is one of all. Of a trial's made-up
-- consents nothing is remembered: it would be held against the real patients that come later.
SELECT 'revocation' AS kind, a.patient_key, a.purpose AS scope, a.revoked_at AS at
FROM contract."authorization" AS a
WHERE a.revoked_at < :ends
  AND (CAST(:revoked_since AS timestamptz) IS NULL OR a.revoked_at > :revoked_since)
  AND a.purpose IN ('email', 'marketing', 'part2')
  AND NOT EXISTS (SELECT 1 FROM contract.load AS l WHERE l.drawn)
UNION ALL
SELECT 'opt_out', o.patient_key,
    CASE WHEN o.campaign = ANY(CAST(:campaigns AS text[])) THEN o.campaign END, o.at
FROM contract.opt_out AS o
WHERE o.at < :ends
  AND (CAST(:opted_out_since AS timestamptz) IS NULL OR o.at > :opted_out_since)
  AND NOT EXISTS (SELECT 1 FROM contract.load AS l WHERE l.drawn)
