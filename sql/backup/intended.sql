-- Which of these letters an intent of the ledger names.
-- Parameters: letters.
SELECT DISTINCT CAST(letter AS uuid)
FROM (
    SELECT jsonb_array_elements_text(
        CAST(convert_from(entry, 'UTF8') AS jsonb) #> '{body,letters}') AS letter
    FROM ledger_entry
    WHERE kind = 'intent'
) AS intended
WHERE CAST(letter AS uuid) = ANY(CAST(:letters AS uuid[]))
