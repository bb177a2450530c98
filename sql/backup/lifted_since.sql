-- Suppressions that somebody lifted after the backup that the store came back from, by themselves or with
-- the reopening of a letter at the portal.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(which.id AS uuid) AS suppression_id, said.recorded_at AS lifted_at, said.actor AS lifted_by
FROM (
    -- include: backup/parts/access_since.sql
) AS said
CROSS JOIN LATERAL jsonb_array_elements_text(
    CASE said.of WHEN 'suppression' THEN jsonb_build_array(said.detail -> 'suppression')
        ELSE said.detail -> 'lifted' END
) AS which (id)
WHERE (said.action, said.of) IN (('lifted', 'suppression'), ('approved', 'reopening'))
ORDER BY said.index
