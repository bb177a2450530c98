-- What the sources say of everyone who was staged, asked afresh and one fact at a time: nothing of
-- the extraction's own SQL is used, so that a fault in it cannot vouch for itself.
-- Parameters: as_of, zone, inactive_days, slug, consent_purposes. Fills `cohort` of session.sql.
INSERT INTO cohort
WITH day AS (
    SELECT
        CAST(:as_of AS date) AS today,
        CAST(CAST(:as_of AS date) + 1 AS timestamp) AT TIME ZONE :zone AS midnight,
        CAST(CAST(:as_of AS date) + 1 - CAST(:inactive_days AS int) AS timestamp)
            AT TIME ZONE :zone AS window_opens
),
-- Forms of a purpose that is needed with six elements and three notices, in force, not revoked.
-- Not materialized: of a large warehouse only the forms of those who were staged are looked at.
sound AS NOT MATERIALIZED (
    SELECT a.patient_key, a.purpose, a.authorization_key
    FROM contract."authorization" a CROSS JOIN day
    WHERE a.purpose = ANY (CAST(:consent_purposes AS text[]))
      AND a.signed_at < day.midnight
      AND (a.revoked_at IS NULL OR a.revoked_at >= day.midnight)
      AND a.information IS NOT NULL AND a.discloser IS NOT NULL
      AND a.recipient IS NOT NULL AND a.purpose_text IS NOT NULL
      AND a.form_version IS NOT NULL
      AND coalesce(CAST(a.expires_on AS text), a.expires_event) IS NOT NULL
      AND (a.expires_on IS NULL OR a.expires_on >= day.today)
      AND a.notice_revocation AND a.notice_conditioning AND a.notice_redisclosure
      AND (a.purpose <> 'marketing' OR NOT (a.compound OR a.conditioned))
)
SELECT
    s.patient_key,
    EXISTS (SELECT 1 FROM contract.patient p WHERE p.patient_key = s.patient_key)
        AND NOT EXISTS (SELECT 1 FROM contract.patient p
                        WHERE p.patient_key = s.patient_key AND p.death_date <= day.today),
    EXISTS (SELECT 1 FROM contract.visit v
            WHERE v.patient_key = s.patient_key AND v.status <> 'cancelled'
              AND v.start_at < day.window_opens)
        AND NOT EXISTS (SELECT 1 FROM contract.visit v
                        WHERE v.patient_key = s.patient_key AND v.status <> 'cancelled'
                          AND v.start_at >= day.window_opens AND v.start_at < day.midnight),
    -- Every purpose that is needed has such a form; and the one that the row cites is such a form.
    NOT EXISTS (
        SELECT 1 FROM unnest(CAST(:consent_purposes AS text[])) AS needed (purpose)
        WHERE NOT EXISTS (SELECT 1 FROM sound
                          WHERE sound.patient_key = s.patient_key
                            AND sound.purpose = needed.purpose)
    ),
    EXISTS (SELECT 1 FROM sound
            WHERE sound.authorization_key = s.authorization_key
              AND sound.patient_key = s.patient_key),
    NOT EXISTS (SELECT 1 FROM contract.opt_out o
                WHERE o.patient_key = s.patient_key AND o.at < day.midnight
                  AND coalesce(o.campaign, :slug) = :slug),
    NOT EXISTS (SELECT 1 FROM contract.restriction r
                WHERE r.patient_key = s.patient_key AND r.since < day.midnight
                  AND coalesce(r.until, day.midnight) >= day.midnight - INTERVAL '1 day'),
    NOT EXISTS (SELECT 1 FROM contract.contact c
                WHERE c.patient_key = s.patient_key
                  AND coalesce(c.confidential_channel, 'email') <> 'email'),
    CASE
        WHEN EXISTS (SELECT 1 FROM contract.patient p
                     WHERE p.patient_key = s.patient_key
                       AND p.birth_date <= day.today - INTERVAL '18 years')
        THEN EXISTS (SELECT 1 FROM contract.contact c
                     WHERE c.patient_key = s.patient_key AND c.email = s.recipient)
        ELSE EXISTS (SELECT 1 FROM contract.representative r
                     WHERE r.patient_key = s.patient_key AND r.email = s.recipient
                       AND r.blocked = false)
    END,
    -- Of the very one to write to: another's verified address vouches for nobody.
    CASE
        WHEN EXISTS (SELECT 1 FROM contract.patient p
                     WHERE p.patient_key = s.patient_key
                       AND p.birth_date <= day.today - INTERVAL '18 years')
        THEN EXISTS (SELECT 1 FROM contract.contact c
                     WHERE c.patient_key = s.patient_key AND c.email = s.recipient
                       AND c.verified_at < day.midnight)
        ELSE EXISTS (SELECT 1 FROM contract.representative r
                     WHERE r.patient_key = s.patient_key AND r.email = s.recipient
                       AND r.blocked = false AND r.verified_at < day.midnight)
    END,
    EXISTS (SELECT 1 FROM contract.patient p
            WHERE p.patient_key = s.patient_key AND p.sensitive_programme = false),
    NOT EXISTS (SELECT 1 FROM contract.medication m
                WHERE m.patient_key = s.patient_key AND m.name = s.medicine
                  AND m.sensitive_class IS NOT NULL)
FROM staged s CROSS JOIN day
