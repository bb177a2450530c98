-- What the sources say of every subject, asked afresh: nothing of the extraction's own SQL is used, so
-- that a fault in it cannot vouch for itself. Each source is read once, for the subjects only, into one
-- row per patient; a source that has a patient twice is then no reason to find nobody at fault.
-- Of who was staged, what the row says (address, form, appointment, medicine) must be what the sources
-- say; of who was only expected, there must be such a thing. A value that a row lacks is for the suite
-- of the batch to tell.
-- Parameters: as_of, zone, inactive_days, majority_years, slug, campaigns, consent_purposes,
-- paid, categories_allowed, kind. Fills `cohort` of session.sql.
INSERT INTO cohort
WITH day AS MATERIALIZED (
    SELECT
        CAST(:as_of AS date) AS today,
        CAST(CAST(:as_of AS date) + 1 AS timestamp) AT TIME ZONE :zone AS midnight,
        CAST(CAST(:as_of AS date) + 31 AS timestamp) AT TIME ZONE :zone AS month_ends,
        CAST(CAST(:as_of AS date) + 1 - CAST(:inactive_days AS int) AS timestamp)
            AT TIME ZONE :zone AS window_opens,
        -- Born on this day or before: of age.
        CAST(CAST(:as_of AS date) - make_interval(years => CAST(:majority_years AS int)) AS date) AS eldest,
        (SELECT max(l.data_until) FROM contract.load l) AS known_until
),
subjects AS MATERIALIZED (SELECT DISTINCT patient_key FROM subject),
person AS MATERIALIZED (
    SELECT
        patient_key,
        bool_or(p.death_date <= day.today) IS NOT TRUE AS alive,
        bool_or(p.birth_date > day.today
                OR p.birth_date < day.today - INTERVAL '120 years'
                OR p.death_date > day.today
                   AND CAST(p.death_date AS timestamptz) > day.known_until) IS NOT TRUE AS plausible,
        bool_or(p.birth_date <= day.eldest) IS TRUE AS adult,
        min(CAST(p.birth_date + make_interval(years => CAST(:majority_years AS int)) AS date)) AS adult_since,
        bool_or(p.sensitive_programme IS NOT FALSE) AS sensitive,
        coalesce(min(p.state), '?') AS state
    FROM subjects JOIN contract.patient p USING (patient_key) CROSS JOIN day
    GROUP BY patient_key
),
came AS (
    SELECT
        patient_key,
        bool_or(v.start_at < day.window_opens) AS before,
        bool_or(v.start_at >= day.window_opens) AS lately
    FROM subjects JOIN contract.visit v USING (patient_key) CROSS JOIN day
    WHERE v.status <> 'cancelled' AND v.start_at < day.midnight
    GROUP BY patient_key
),
upcoming AS (
    SELECT patient_key, array_agg(a.appointment_key) AS appointments
    FROM subjects JOIN contract.appointment a USING (patient_key) CROSS JOIN day
    WHERE a.status = 'booked' AND coalesce(a.booked_at, '-infinity') < day.midnight
      AND a.start_at >= day.midnight AND a.start_at < day.month_ends
    GROUP BY patient_key
),
medicines AS (
    SELECT
        patient_key,
        array_agg(m.medication_key) FILTER (
            WHERE m.start_at < day.midnight
              AND coalesce(m.end_at, 'infinity') >= day.midnight
              AND coalesce(m.lapsed_on, 'infinity') > day.today - 91) AS current,
        array_agg(m.medication_key) FILTER (WHERE m.sensitive_class IS NOT NULL) AS sensitive
    FROM subjects JOIN contract.medication m USING (patient_key) CROSS JOIN day
    -- Only of whom a prescription is spoken.
    WHERE EXISTS (SELECT 1 FROM subject s WHERE s.medication_key IS NOT NULL)
    GROUP BY patient_key
),
acting AS MATERIALIZED (
    SELECT patient_key, r.representative_key, r.authority, r.email, r.verified_at, r.limited_by
    FROM subjects JOIN contract.representative r USING (patient_key)
    WHERE r.blocked = false
),
form AS MATERIALIZED (
    SELECT
        patient_key, a.authorization_key, a.purpose, a.form_version, a.information, a.discloser,
        a.recipient, a.purpose_text, a.expires_on, a.expires_event, a.event_at, a.signed_at,
        a.representative_key, a.notice_revocation, a.notice_conditioning, a.notice_redisclosure,
        a.compound, a.conditioned, a.remuneration_stated, a.known_false, a.revoked_at
    FROM subjects JOIN contract."authorization" a USING (patient_key) CROSS JOIN day
    WHERE a.signed_at < day.midnight OR a.signed_at IS NULL
),
revoked AS (
    SELECT f.patient_key, f.purpose, max(f.revoked_at) AS at
    FROM form f CROSS JOIN day
    WHERE f.revoked_at < day.midnight GROUP BY f.patient_key, f.purpose
),
-- Forms with six elements and three notices, signed by who may sign, in force, not revoked since.
sound AS (
    SELECT a.patient_key, a.purpose, a.authorization_key
    FROM form a CROSS JOIN day
    LEFT JOIN person ON person.patient_key = a.patient_key
    LEFT JOIN revoked ON revoked.patient_key = a.patient_key AND revoked.purpose = a.purpose
    LEFT JOIN (SELECT DISTINCT patient_key, representative_key FROM acting WHERE btrim(authority) <> '') AS signer
      ON signer.patient_key = a.patient_key AND signer.representative_key = a.representative_key
    WHERE a.signed_at < day.midnight
      AND coalesce(a.revoked_at, 'infinity') >= a.signed_at
      AND coalesce(revoked.at, '-infinity') < a.signed_at
      AND coalesce(a.expires_on, 'infinity') >= day.today
      AND coalesce(a.event_at, 'infinity') >= day.midnight
      AND 0 < ALL (ARRAY[length(btrim(a.form_version)), length(btrim(a.information)),
                         length(btrim(a.discloser)), length(btrim(a.recipient)),
                         length(btrim(a.purpose_text)),
                         length(coalesce(CAST(a.expires_on AS text), btrim(a.expires_event)))])
      AND a.notice_revocation AND a.notice_conditioning AND a.notice_redisclosure
      AND coalesce(a.known_false, false) = false
      AND CASE WHEN a.purpose = 'marketing'
               THEN NOT a.compound AND NOT a.conditioned AND (a.remuneration_stated OR NOT :paid)
               ELSE true END
      AND CASE WHEN person.adult
               THEN a.representative_key IS NULL
                    AND CAST(a.signed_at AT TIME ZONE :zone AS date) >= person.adult_since
               ELSE signer.patient_key IS NOT NULL END
),
consents AS (
    SELECT patient_key, array_agg(DISTINCT purpose) AS purposes,
        array_agg(authorization_key) FILTER (WHERE purpose = ANY (CAST(:consent_purposes AS text[]))) AS forms
    FROM sound GROUP BY patient_key
),
opted_out AS (
    SELECT DISTINCT patient_key FROM subjects JOIN contract.opt_out o USING (patient_key) CROSS JOIN day
    WHERE o.at < day.midnight AND (coalesce(o.campaign, :slug) = :slug
           OR NOT o.campaign = ANY (CAST(:campaigns AS text[])))
),
restricted AS (
    SELECT DISTINCT patient_key FROM subjects JOIN contract.restriction r USING (patient_key) CROSS JOIN day
    WHERE r.since < day.midnight
      AND coalesce(r.until, day.midnight) >= day.midnight - INTERVAL '1 day'
),
-- The address that the letter of a patient must have, where there is one.
own AS (
    SELECT
        patient_key,
        array_agg(email) AS emails,
        bool_or(confidential_channel IS NOT NULL) AS confidential,
        bool_or(confidential_channel <> 'email') IS TRUE AS elsewhere,
        bool_or(email IS NOT NULL AND coalesce(verified_at, 'infinity') >= day.midnight) AS unverified,
        bool_or(bounced_at < day.midnight AND bounced_at >= verified_at) IS TRUE AS bounced
    FROM (
        SELECT patient_key, c.bounced_at, c.confidential_channel,
            CASE c.confidential_channel WHEN 'email' THEN c.confidential_email ELSE c.email END AS email,
            CASE c.confidential_channel WHEN 'email' THEN c.confidential_verified_at
                                        ELSE c.verified_at END AS verified_at
        FROM subjects JOIN contract.contact c USING (patient_key)
    ) AS c CROSS JOIN day
    GROUP BY patient_key
),
guardian AS (
    SELECT patient_key,
        array_agg(email) FILTER (WHERE email IS NOT NULL) AS emails,
        array_agg(email) FILTER (WHERE email IS NOT NULL AND verified_at < day.midnight) AS verified
    FROM acting CROSS JOIN day WHERE limited_by IS NULL GROUP BY patient_key
),
programmes AS (
    SELECT patient_key, array_agg(DISTINCT g.category) AS categories
    FROM subjects JOIN contract.programme g USING (patient_key) CROSS JOIN day
    WHERE g.since < day.midnight GROUP BY patient_key
)
SELECT
    s.patient_key,
    s.staged,
    coalesce(person.alive, false),
    coalesce(person.plausible, true),
    coalesce(came.before AND NOT came.lately, false),
    -- What the letter is about: that appointment, that prescription, or that nothing is booked.
    CASE CAST(:kind AS text)
        WHEN 'refill' THEN coalesce(s.medication_key = ANY (medicines.current), false)
        WHEN 'appointment' THEN coalesce(
            s.appointment_key = ANY (upcoming.appointments), NOT s.staged)
            AND upcoming.patient_key IS NOT NULL
        ELSE upcoming.patient_key IS NULL
    END,
    -- Every purpose that is needed has a sound form, and the one that the row cites is such a form.
    coalesce(CAST(:consent_purposes AS text[]) <@ consents.purposes, false),
    s.authorization_key IS NULL OR coalesce(s.authorization_key = ANY (consents.forms), false),
    opted_out.patient_key IS NULL,
    restricted.patient_key IS NULL,
    NOT coalesce(own.elsewhere OR own.confidential AND NOT coalesce(person.adult, false), false),
    -- The patient's own address, or that of someone who acts for all of a minor's care.
    CASE
        WHEN s.staged AND s.recipient IS NULL THEN true
        WHEN person.adult
        THEN coalesce(CASE WHEN s.recipient IS NULL THEN array_remove(own.emails, NULL) <> '{}'
                           ELSE s.recipient = ANY (own.emails) END, false)
        ELSE coalesce(CASE WHEN s.recipient IS NULL THEN guardian.emails <> '{}'
                           ELSE s.recipient = ANY (guardian.emails) END, false)
    END,
    -- There is a confirmed address of that kind; another's vouches for nobody.
    CASE
        WHEN person.adult THEN NOT coalesce(own.unverified, false)
        ELSE coalesce(CASE WHEN s.recipient = ANY (guardian.emails)
                           THEN s.recipient = ANY (guardian.verified)
                           ELSE guardian.verified <> '{}' END, false)
    END,
    NOT coalesce(own.bounced AND person.adult, false),
    -- Each sensitive programme is allowed by a reviewed rule; substance use has its own consent.
    CASE
        WHEN programmes.patient_key IS NULL THEN NOT coalesce(person.sensitive, false)
        ELSE NOT EXISTS (SELECT 1 FROM unnest(programmes.categories) AS g (category)
                         WHERE coalesce(person.state, '?') || '/' || g.category
                               <> ALL (CAST(:categories_allowed AS text[]))
                            OR g.category = 'substance_use'
                               AND ('part2' = ANY (consents.purposes)) IS NOT TRUE)
    END,
    s.medication_key IS NULL OR coalesce(s.medication_key <> ALL (medicines.sensitive), true)
FROM subject s
LEFT JOIN person USING (patient_key)
LEFT JOIN came USING (patient_key)
LEFT JOIN upcoming USING (patient_key)
LEFT JOIN medicines USING (patient_key)
LEFT JOIN consents USING (patient_key)
LEFT JOIN opted_out USING (patient_key)
LEFT JOIN restricted USING (patient_key)
LEFT JOIN own USING (patient_key)
LEFT JOIN guardian USING (patient_key)
LEFT JOIN programmes USING (patient_key)
