-- May this patient be written to? All reasons against it, in the order in which a report names the
-- first, and the rows that they rest on. Asked of the relation `audience (patient_key,
-- appointment_key, medication_key)`, one row per patient.
-- Parameters: as_of, ends, zone, slug, campaigns (every slug there is), majority_years; consent_purposes: all that must be on file
-- ('email' = opt-in to e-mail, 'marketing' = 45 CFR 164.508), the one to cite first; paid;
-- categories_allowed, categories_denied: 'NE/hiv' where a reviewed rule of the state says so;
-- sensitive_services: a pattern of the words that neither service line nor place may hold.
-- Missing knowledge is a no: an unknown patient, contact, consent or rule excludes.
person AS (
    SELECT
        audience.patient_key, p.birth_date, p.death_date, p.language, p.time_zone, p.state,
        p.sensitive_programme,
        -- Who is not known to be of age is a minor (PRV-16). Counted back from the day, a birth on
        -- 29 February is of age on 1 March where the year has no such day.
        (p.birth_date <= :as_of - CAST(:majority_years AS int) * INTERVAL '1 year') IS NOT TRUE AS minor,
        c.confidential_channel, c.bounced_at,
        -- The address that was asked for wins over the one on file (PRV-21).
        CASE WHEN c.confidential_channel IS NULL THEN c.email ELSE c.confidential_email END AS email,
        CASE WHEN c.confidential_channel IS NULL THEN c.verified_at
             ELSE c.confidential_verified_at END AS verified_at,
        c.smime_certificate, c.reads_authenticated_encryption,
        m.sensitive_class
    FROM audience
    LEFT JOIN contract.patient AS p ON p.patient_key = audience.patient_key
    LEFT JOIN contract.contact AS c ON c.patient_key = audience.patient_key
    LEFT JOIN contract.medication AS m ON m.medication_key = audience.medication_key
),
programme AS (
    SELECT
        person.patient_key,
        array_agg(DISTINCT g.category ORDER BY g.category) AS categories,
        bool_or(g.category = 'substance_use') AS part2,
        bool_or(person.state || '/' || g.category = ANY(CAST(:categories_denied AS text[]))) AS denied,
        bool_or((person.state || '/' || g.category
                 = ANY(CAST(:categories_denied AS text[]) || CAST(:categories_allowed AS text[])))
                IS NOT TRUE) AS unreviewed
    FROM person
    JOIN contract.programme AS g ON g.patient_key = person.patient_key
    WHERE g.since < :ends
    GROUP BY person.patient_key
),
needed AS (
    SELECT person.patient_key, person.birth_date, person.minor, one.purpose, one.rank,
        'no_authorization' AS missing                                           -- PRV-01
    FROM person
    CROSS JOIN unnest(CAST(:consent_purposes AS text[])) WITH ORDINALITY AS one (purpose, rank)
    UNION ALL
    SELECT person.patient_key, person.birth_date, person.minor, 'part2', 99, 'no_part2_consent'
    FROM person JOIN programme ON programme.patient_key = person.patient_key
    WHERE programme.part2                                                       -- PRV-29
),
form AS (
    SELECT
        needed.patient_key, needed.purpose, needed.rank, a.authorization_key, a.signed_at,
        a.representative_key AS signed_by,
        CASE
            WHEN a.authorization_key IS NULL THEN needed.missing
            WHEN a.revoked_at < a.signed_at THEN 'authorization_contradictory'
            -- Whoever revokes one form of a purpose means all that were signed until then (PRV-06).
            WHEN max(a.revoked_at) FILTER (WHERE a.revoked_at < :ends)
                 OVER (PARTITION BY needed.patient_key, needed.purpose) >= a.signed_at
            THEN 'authorization_revoked'
            WHEN a.expires_on < :as_of OR a.event_at < :ends                    -- PRV-04
            THEN 'authorization_expired'
            WHEN a.signed_at IS NULL                                            -- PRV-01, PRV-02
              OR btrim(coalesce(a.form_version, '')) = ''
              OR btrim(coalesce(a.information, '')) = ''
              OR btrim(coalesce(a.discloser, '')) = ''
              OR btrim(coalesce(a.recipient, '')) = ''
              OR btrim(coalesce(a.purpose_text, '')) = ''
              OR (a.expires_on IS NULL AND btrim(coalesce(a.expires_event, '')) = '')
              OR a.notice_revocation IS NOT TRUE
              OR a.notice_conditioning IS NOT TRUE
              OR a.notice_redisclosure IS NOT TRUE
              OR (a.representative_key IS NOT NULL AND btrim(coalesce(signer.authority, '')) = '')
            THEN 'authorization_incomplete'
            WHEN a.known_false THEN 'authorization_false'                       -- PRV-04
            WHEN needed.purpose = 'marketing'                                   -- PRV-05
             AND (a.compound IS NOT FALSE OR a.conditioned IS NOT FALSE)
            THEN 'authorization_compound'
            WHEN needed.purpose = 'marketing' AND CAST(:paid AS boolean)        -- PRV-08
             AND a.remuneration_stated IS NOT TRUE
            THEN 'remuneration_unstated'
            -- Who signs for a minor must act for all of their care; who is of age signs alone
            -- (PRV-15, PRV-16).
            WHEN CASE WHEN needed.minor
                      THEN signer.blocked IS NOT FALSE OR signer.limited_by IS NOT NULL
                      ELSE a.representative_key IS NOT NULL
                        OR CAST(a.signed_at AT TIME ZONE :zone AS date)
                           - CAST(:majority_years AS int) * INTERVAL '1 year' < needed.birth_date END
            THEN 'authorization_signer'
        END AS fault
    FROM needed
    LEFT JOIN contract."authorization" AS a
        ON a.patient_key = needed.patient_key AND a.purpose = needed.purpose
       AND (a.signed_at IS NULL OR a.signed_at < :ends)
    LEFT JOIN contract.representative AS signer
        ON signer.patient_key = a.patient_key AND signer.representative_key = a.representative_key
),
-- The form that counts for a purpose: a sound one before a faulty one, then the newest.
consent AS (
    SELECT DISTINCT ON (patient_key, purpose)
        patient_key, purpose, rank, authorization_key, signed_at, signed_by, fault,
        count(*) FILTER (WHERE fault IS NULL) OVER (PARTITION BY patient_key, purpose) AS sound
    FROM form
    ORDER BY patient_key, purpose, (fault IS NULL) DESC, signed_at DESC NULLS LAST, authorization_key
),
consented AS (
    SELECT
        patient_key,
        (array_agg(authorization_key ORDER BY rank))[1] AS authorization_key,
        jsonb_object_agg(purpose, signed_at) AS consents,
        max(sound) > 1 AS twice,
        array_remove(array_agg(DISTINCT fault), NULL) AS faults,
        jsonb_agg(jsonb_build_object('purpose', purpose, 'form', authorization_key,
                                     'signed_at', signed_at, 'signed_by', signed_by, 'fault', fault)
                  ORDER BY rank) AS forms
    FROM consent
    GROUP BY patient_key
),
-- Whose address a minor's letters go to: whoever signed the opt-in to e-mail that counts (PRV-15).
guardian AS (
    SELECT
        consent.patient_key,
        bool_or(r.blocked IS NOT FALSE) AS blocked,
        bool_or(r.limited_by IS NOT NULL) AS limited,
        min(r.email) FILTER (WHERE r.verified_at < :ends) AS email
    FROM consent
    JOIN contract.representative AS r
      ON r.patient_key = consent.patient_key AND r.representative_key = consent.signed_by
    WHERE consent.purpose = 'email'
    GROUP BY consent.patient_key
),
restricted AS (
    SELECT audience.patient_key, min(r.since) AS since
    FROM audience
    JOIN contract.restriction AS r ON r.patient_key = audience.patient_key
    -- In force at any moment of the day.
    WHERE r.since < :ends
      AND (r.until IS NULL OR r.until >= CAST(:ends AS timestamptz) - INTERVAL '1 day')
    GROUP BY audience.patient_key
),
opted_out AS (
    SELECT audience.patient_key, min(o.at) AS at
    FROM audience
    JOIN contract.opt_out AS o ON o.patient_key = audience.patient_key
    WHERE o.at < :ends AND (o.campaign IS NULL OR o.campaign = :slug
      -- A word that is no campaign of ours may mean all of them.
      OR o.campaign <> ALL(CAST(:campaigns AS text[])))
    GROUP BY audience.patient_key
),
-- A kind of care that the appointment's service line or place would betray (PRV-32).
service AS (
    SELECT audience.patient_key, min(lower(found.words[1])) AS words
    FROM audience
    JOIN contract.appointment AS a ON a.appointment_key = audience.appointment_key
    CROSS JOIN regexp_match(translate(concat_ws(' ', a.service_line, a.location), '_', ' '),
                            CAST(:sensitive_services AS text), 'i') AS found (words)
    -- Where no letter is about an appointment, none of the warehouse's is read.
    WHERE audience.appointment_key IS NOT NULL AND found.words IS NOT NULL
    GROUP BY audience.patient_key
),
-- Whom to write to: the patient, or who signed for a minor.
addressed AS (
    SELECT
        person.*, guardian.blocked, guardian.limited,
        CASE WHEN person.minor THEN guardian.email ELSE person.email END AS recipient,
        -- A representative's address is taken only once it was confirmed.
        person.minor OR person.verified_at < :ends AS verified
    FROM person LEFT JOIN guardian ON guardian.patient_key = person.patient_key
),
standing AS (
    SELECT
        who.patient_key, who.language, who.time_zone, who.recipient,
        consented.authorization_key, consented.consents,
        -- The patient's own: a minor's letters go to somebody else.
        CASE WHEN NOT who.minor THEN who.smime_certificate END AS certificate,
        who.smime_certificate IS NOT NULL AND NOT who.minor AS certificate_known,
        who.reads_authenticated_encryption AS reads_authenticated,
        array_remove(ARRAY[
            CASE WHEN who.death_date <= :as_of THEN 'deceased'                               -- PRV-17
                 -- Beyond what the warehouse can know: a death all the same, or a slip of the pen.
                 WHEN CAST(who.death_date AS timestamptz)
                      > (SELECT max(data_until) FROM contract.load) THEN 'death_date_implausible' END,
            CASE WHEN who.birth_date > :as_of
                   OR who.birth_date < :as_of - INTERVAL '120 years'
                 THEN 'birth_date_implausible' END,
            CASE WHEN restricted.patient_key IS NOT NULL THEN 'restriction' END,              -- PRV-22
            CASE WHEN opted_out.patient_key IS NOT NULL THEN 'opted_out' END                  -- EML-26
        ], NULL)
        || consented.faults
        || array_remove(ARRAY[
            CASE WHEN who.confidential_channel <> 'email'                                     -- PRV-21
                   OR (who.minor AND who.confidential_channel IS NOT NULL)
                 THEN 'confidential_channel' END,
            CASE WHEN who.minor AND who.blocked THEN 'representative_blocked'                 -- PRV-16
                 WHEN who.minor AND who.limited THEN 'representative_limited'                 -- PRV-15
                 WHEN who.minor AND who.recipient IS NULL THEN 'minor_without_representative' -- PRV-15
                 WHEN who.recipient IS NULL THEN 'no_address'
                 WHEN who.verified IS NOT TRUE THEN 'address_unverified'                      -- PRV-23
                 WHEN NOT who.minor AND who.bounced_at < :ends                                -- PRV-23
                  AND who.bounced_at >= who.verified_at THEN 'address_bounced' END,
            CASE WHEN programme.denied                                                        -- PRV-32
                   OR (who.sensitive_programme IS NOT FALSE AND programme.patient_key IS NULL)
                 THEN 'sensitive_programme' END,
            CASE WHEN programme.unreviewed THEN 'no_jurisdiction_rule' END,                   -- PRV-33
            CASE WHEN who.sensitive_class IS NOT NULL THEN 'sensitive_medicine' END,          -- PRV-32
            CASE WHEN service.patient_key IS NOT NULL THEN 'sensitive_service_line' END       -- PRV-32
        ], NULL) AS reasons,
        consented.twice AS authorization_duplicate,
        jsonb_build_object(
            'forms', consented.forms, 'restricted_since', restricted.since,
            'opted_out_at', opted_out.at, 'death_date', who.death_date, 'minor', who.minor,
            'verified_at', who.verified_at, 'bounced_at', who.bounced_at,
            'confidential_channel', who.confidential_channel, 'programmes', programme.categories,
            'medicine_class', who.sensitive_class, 'service', service.words
        ) AS evidence
    FROM addressed AS who
    JOIN consented ON consented.patient_key = who.patient_key
    LEFT JOIN programme ON programme.patient_key = who.patient_key
    LEFT JOIN restricted ON restricted.patient_key = who.patient_key
    LEFT JOIN opted_out ON opted_out.patient_key = who.patient_key
    LEFT JOIN service ON service.patient_key = who.patient_key
)
