-- A decision for who has a letter of the day and is no candidate of this run any more: it stands, with
-- a note where they have refused since (as far as we were told ourselves).
-- Parameters: run_id, campaign, day, consent_purposes, purpose_scope (`purpose:<the campaign's>`).
INSERT INTO decision (campaign_date, run_id, patient, reasons, notes, arm)
SELECT DISTINCT CAST(:day AS date), CAST(:run_id AS uuid), l.patient, CAST('{}' AS text[]),
    array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = l.patient
                          AND (o.campaign IS NULL OR o.campaign = l.campaign
                               OR o.campaign = CAST(:purpose_scope AS text))) THEN 'opted_out_since' END,
        CASE WHEN EXISTS (SELECT 1 FROM restriction x WHERE x.patient = l.patient)              -- PRV-22
             THEN 'restriction_since' END,
        CASE WHEN EXISTS (SELECT 1 FROM revocation r WHERE r.patient = l.patient                -- PRV-06
                          AND r.received_at >= l.composed_at
                          AND (r.purpose IS NULL OR r.purpose = ANY(CAST(:consent_purposes AS text[]))))
             THEN 'authorization_revoked_since' END
    ], NULL),
    'write'
FROM letter l
WHERE l.campaign = :campaign AND l.campaign_date = CAST(:day AS date) AND l.rehearsal IS NULL
ON CONFLICT DO NOTHING
