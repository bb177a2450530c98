-- Suppressions that somebody lifted after the backup that the store came back from, by themselves or with
-- the reopening of a letter at the portal.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(which.id AS uuid) AS suppression_id, said.recorded_at AS lifted_at,
    said.body ->> 'actor' AS lifted_by
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body,
        CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz)
            AS recorded_at
    FROM ledger_entry
    WHERE kind = 'access' AND index >= :first
) AS said
CROSS JOIN LATERAL jsonb_array_elements_text(
    CASE said.body ->> 'of'
        WHEN 'suppression' THEN jsonb_build_array(said.body #> '{detail,suppression}')
        ELSE said.body #> '{detail,lifted}' END
) AS which (id)
WHERE (said.body ->> 'action', said.body ->> 'of')
    IN (('lifted', 'suppression'), ('approved', 'reopening'))
ORDER BY said.index
