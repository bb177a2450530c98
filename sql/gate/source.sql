-- What the warehouse was loaded with, how far behind the campaign's day its data end, and how many
-- rows its tables have: one that came half empty would make everybody look like a stranger, or worse,
-- like somebody who never said no.
-- Parameter: ends, the end of the campaign's day. Fills `source` of session.sql.
INSERT INTO source
SELECT
    -- `greatest` passes over a null, which would make unknown data fresh.
    CASE WHEN l.data_until IS NOT NULL THEN
        greatest(0, floor(extract(epoch FROM CAST(:ends AS timestamptz) - l.data_until) / 86400))
    END AS stale_days,
    (SELECT count(*) FROM contract.patient) AS patients,
    (SELECT count(*) FROM contract.visit AS v
     WHERE v.start_at < :ends
       AND v.start_at >= CAST(:ends AS timestamptz) - INTERVAL '28 days'
    ) AS visits,
    (SELECT count(*) FROM contract."authorization") AS authorizations,
    (SELECT count(*) FROM contract."authorization" AS a WHERE a.revoked_at IS NOT NULL) AS revocations,
    (SELECT count(*) FROM contract.opt_out) AS opt_outs,
    (SELECT count(*) FROM contract.restriction) AS restrictions
FROM contract.load AS l
