-- May this patient be written to? All reasons against it, in the order in which a report names the
-- first. Asked of the relation `asked (patient_key, medication_key)`, as of `day (as_of, ends)`.
-- Parameters: slug, consent_purposes: all that must be on file ('email' = opt-in to e-mail,
-- 'marketing' = 45 CFR 164.508), the one to cite first.
-- Missing knowledge is a no: an unknown patient, contact or consent excludes.
consent_form AS (
    SELECT
        a.patient_key, a.authorization_key, a.signed_at, a.purpose,
        CASE
            WHEN a.revoked_at < day.ends THEN 'authorization_revoked'           -- PRV-06
            WHEN a.expires_on < day.as_of THEN 'authorization_expired'          -- PRV-04
            WHEN a.signed_at IS NULL                                            -- PRV-01, PRV-02
              OR a.information IS NULL OR a.discloser IS NULL OR a.recipient IS NULL
              OR a.purpose_text IS NULL OR a.form_version IS NULL
              OR (a.expires_on IS NULL AND a.expires_event IS NULL)
              OR a.notice_revocation IS NOT TRUE OR a.notice_conditioning IS NOT TRUE
              OR a.notice_redisclosure IS NOT TRUE THEN 'authorization_incomplete'
            WHEN a.purpose = 'marketing'                                        -- PRV-05
             AND (a.compound IS NOT FALSE OR a.conditioned IS NOT FALSE) THEN 'authorization_compound'
        END AS fault
    FROM contract."authorization" AS a
    JOIN asked ON asked.patient_key = a.patient_key
    CROSS JOIN day
    WHERE a.purpose = ANY(CAST(:consent_purposes AS text[]))
      AND (a.signed_at IS NULL OR a.signed_at < day.ends)
),
-- The form that counts for a purpose: a sound one before a faulty one, then the newest.
consent AS (
    SELECT DISTINCT ON (patient_key, purpose) patient_key, purpose, authorization_key, fault
    FROM consent_form
    ORDER BY patient_key, purpose, (fault IS NULL) DESC, signed_at DESC NULLS LAST, authorization_key
),
consented AS (
    SELECT
        asked.patient_key,
        (array_agg(consent.authorization_key ORDER BY required.rank))[1] AS authorization_key,
        array_remove(array_agg(DISTINCT CASE
            WHEN consent.patient_key IS NULL THEN 'no_authorization'                -- PRV-01
            ELSE consent.fault END), NULL) AS faults
    FROM asked
    CROSS JOIN unnest(CAST(:consent_purposes AS text[])) WITH ORDINALITY AS required (purpose, rank)
    LEFT JOIN consent ON consent.patient_key = asked.patient_key
                     AND consent.purpose = required.purpose
    GROUP BY asked.patient_key
),
guardian AS (
    SELECT
        r.patient_key,
        bool_and(r.blocked IS NOT FALSE) AS all_blocked,
        min(r.email) FILTER (WHERE r.blocked IS FALSE AND r.verified_at < day.ends) AS email
    FROM contract.representative AS r
    JOIN asked ON asked.patient_key = r.patient_key
    CROSS JOIN day
    GROUP BY r.patient_key
),
restricted AS (
    SELECT DISTINCT r.patient_key
    FROM contract.restriction AS r
    JOIN asked ON asked.patient_key = r.patient_key
    CROSS JOIN day
    -- In force at any moment of the day.
    WHERE r.since < day.ends AND (r.until IS NULL OR r.until >= day.ends - INTERVAL '1 day')
),
opted_out AS (
    SELECT DISTINCT o.patient_key
    FROM contract.opt_out AS o
    JOIN asked ON asked.patient_key = o.patient_key
    CROSS JOIN day
    WHERE o.at < day.ends AND (o.campaign IS NULL OR o.campaign = :slug)
),
person AS (
    SELECT
        asked.patient_key, p.language, p.time_zone, p.death_date, p.sensitive_programme,
        -- Who is not known to be of age is a minor (PRV-16).
        (p.birth_date <= day.as_of - INTERVAL '18 years') IS NOT TRUE AS minor,
        c.confidential_channel,
        CASE WHEN p.birth_date <= day.as_of - INTERVAL '18 years'
             THEN c.email ELSE guardian.email END AS recipient,
        CASE WHEN p.birth_date <= day.as_of - INTERVAL '18 years'
             THEN c.verified_at < day.ends ELSE guardian.email IS NOT NULL END AS verified,
        guardian.all_blocked,
        medication.sensitive_class
    FROM asked
    CROSS JOIN day
    LEFT JOIN contract.patient AS p ON p.patient_key = asked.patient_key
    LEFT JOIN contract.contact AS c ON c.patient_key = asked.patient_key
    LEFT JOIN guardian ON guardian.patient_key = asked.patient_key
    LEFT JOIN contract.medication AS medication ON medication.medication_key = asked.medication_key
),
standing AS (
    SELECT
        person.patient_key, person.language, person.time_zone, person.recipient,
        consented.authorization_key,
        array_remove(ARRAY[
            CASE WHEN person.death_date <= day.as_of THEN 'deceased' END,                    -- PRV-17
            CASE WHEN restricted.patient_key IS NOT NULL THEN 'restriction' END,              -- PRV-22
            CASE WHEN opted_out.patient_key IS NOT NULL THEN 'opted_out' END                  -- EML-26
        ], NULL)
        || consented.faults
        || array_remove(ARRAY[
            CASE WHEN person.minor AND person.all_blocked THEN 'representative_blocked' END,
            CASE WHEN person.minor AND person.all_blocked IS NOT TRUE
                  AND person.recipient IS NULL THEN 'minor_without_representative' END,       -- PRV-15
            CASE WHEN person.confidential_channel <> 'email' THEN 'confidential_channel' END, -- PRV-21
            CASE WHEN NOT person.minor AND person.recipient IS NULL THEN 'no_address' END,
            CASE WHEN person.recipient IS NOT NULL
                  AND person.verified IS NOT TRUE THEN 'address_unverified' END,              -- PRV-23
            CASE WHEN person.sensitive_programme IS NOT FALSE THEN 'sensitive_programme' END, -- PRV-29
            CASE WHEN person.sensitive_class IS NOT NULL THEN 'sensitive_medicine' END        -- PRV-32
        ], NULL) AS reasons
    FROM person
    CROSS JOIN day
    JOIN consented ON consented.patient_key = person.patient_key
    LEFT JOIN restricted ON restricted.patient_key = person.patient_key
    LEFT JOIN opted_out ON opted_out.patient_key = person.patient_key
)
