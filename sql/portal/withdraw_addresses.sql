-- Who names an address takes back whatever else they named and nobody confirmed: the newest word counts.
-- Parameters: patient, recipient (pseudonyms).
UPDATE portal_address SET token = NULL
WHERE patient = :patient AND recipient <> :recipient AND token IS NOT NULL
