-- Suppressions that somebody lifted after the backup that the store came back from, by themselves or with
-- the reopening of a letter at the portal.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(which.id AS uuid) AS suppression_id,
    CAST(said.entry ->> 'recorded_at' AS timestamptz) AS lifted_at,
    said.entry #>> '{body,actor}' AS lifted_by
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS entry
    FROM ledger_entry WHERE kind = 'access' AND index >= :first
) AS said
CROSS JOIN LATERAL jsonb_array_elements_text(
    CASE said.entry #>> '{body,of}'
        WHEN 'suppression' THEN jsonb_build_array(said.entry #> '{body,detail,suppression}')
        ELSE said.entry #> '{body,detail,lifted}' END
) AS which (id)
WHERE (said.entry #>> '{body,action}', said.entry #>> '{body,of}')
    IN (('lifted', 'suppression'), ('approved', 'reopening'))
ORDER BY said.index
