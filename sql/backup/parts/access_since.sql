-- Records of the ledger of what somebody did, after the backup that the store came back from.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT index, entry #>> '{body,actor}' AS actor, entry #>> '{body,action}' AS action,
    entry #>> '{body,of}' AS of, entry #> '{body,detail}' AS detail,
    CAST(entry ->> 'recorded_at' AS timestamptz) AS recorded_at
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS entry
    FROM ledger_entry WHERE kind = 'access' AND index >= :first
) AS read
