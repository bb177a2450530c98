-- What the sources say of every subject, asked afresh: nothing of the extraction's own SQL is used, so
-- that a fault in it cannot vouch for itself. Each source is read once, and sums are kept narrow, since
-- a session's own tables are read by one process. A source that has a patient twice gives two rows,
-- which the suite refuses.
-- Of who was staged, what the row says (address, form, appointment, medicine) must be what the sources
-- say; of who was only expected, there must be such a thing. A value that a row lacks is for the suite
-- of the batch to tell.
-- Parameters: as_of, zone, inactive_days, majority_years, slug, campaigns, consent_purposes,
-- paid, categories_allowed, sensitive_service_lines, kind. Fills `cohort` of session.sql.
INSERT INTO cohort
WITH subjects AS MATERIALIZED (SELECT DISTINCT patient_key FROM subject),
day AS MATERIALIZED (
    SELECT
        CAST(:as_of AS date) AS today,
        CAST(CAST(:as_of AS date) + 1 AS timestamp) AT TIME ZONE :zone AS midnight,
        CAST(CAST(:as_of AS date) + 31 AS timestamp) AT TIME ZONE :zone AS month_ends,
        CAST(CAST(:as_of AS date) + 1 - CAST(:inactive_days AS int) AS timestamp)
            AT TIME ZONE :zone AS window_opens,
        -- Born on this day or before: of age.
        CAST(CAST(:as_of AS date) - make_interval(years => CAST(:majority_years AS int)) AS date) AS eldest,
        -- At least every fourth patient is asked about.
        NOT EXISTS (SELECT FROM contract.patient OFFSET (SELECT 4 * count(*) FROM subjects)) AS most,
        (SELECT max(l.data_until) FROM contract.load l) AS known_until,
        ARRAY(SELECT '% ' || line || ' %'
              FROM unnest(CAST(:sensitive_service_lines AS text[])) AS told (line)) AS unspoken
),
person AS MATERIALIZED (
    SELECT
        patient_key,
        (p.death_date <= day.today) IS NOT TRUE AS alive,
        (p.birth_date > day.today
         OR p.birth_date < day.today - INTERVAL '120 years'
         OR p.death_date > day.today
            AND CAST(p.death_date AS timestamptz) > day.known_until) IS NOT TRUE AS plausible,
        (p.birth_date <= day.eldest) IS TRUE AS adult,
        -- A year without the day of birth, 29 February, has it on 1 March.
        CAST(p.birth_date + make_interval(years => CAST(:majority_years AS int)) AS date)
            + CAST(extract(day FROM p.birth_date)
                   > extract(day FROM p.birth_date + make_interval(years => CAST(:majority_years AS int)))
                   AS int) AS adult_since,
        p.sensitive_programme IS NOT FALSE AS sensitive,
        coalesce(p.state, '?') AS state
    FROM subjects JOIN contract.patient p USING (patient_key) CROSS JOIN day
),
-- Who came before the window, and not since. Where a good part of all patients is asked about, all
-- visits are read in their order, which costs less than looking for each of them.
stopped AS (
    SELECT v.patient_key FROM contract.visit v
    WHERE (SELECT most FROM day)
      AND v.status <> 'cancelled' AND v.start_at < (SELECT midnight FROM day)
    GROUP BY v.patient_key HAVING max(v.start_at) < (SELECT window_opens FROM day)
    UNION ALL
    SELECT patient_key FROM subjects JOIN contract.visit v USING (patient_key)
    WHERE NOT (SELECT most FROM day)
      AND v.status <> 'cancelled' AND v.start_at < (SELECT midnight FROM day)
    GROUP BY patient_key HAVING max(v.start_at) < (SELECT window_opens FROM day)
),
upcoming AS (
    SELECT patient_key,
        array_agg(a.appointment_key ORDER BY a.start_at, a.appointment_key) AS appointments,
        array_agg(a.appointment_key) FILTER (
            WHERE CAST(:kind AS text) = 'appointment'
              AND ' ' || regexp_replace(lower(replace(concat_ws(' ', a.service_line, a.location), '_', ' ')),
                                        '\W+', ' ', 'g') || ' ' LIKE ANY (day.unspoken)) AS betraying
    FROM contract.appointment a CROSS JOIN day
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
    FROM contract.medication m CROSS JOIN day
    -- Only of whom a prescription is spoken.
    WHERE m.patient_key IN (SELECT patient_key FROM subject WHERE medication_key IS NOT NULL)
    GROUP BY patient_key
),
acting AS MATERIALIZED (
    SELECT patient_key, r.representative_key, r.authority, r.email, r.verified_at, r.limited_by
    FROM subjects JOIN contract.representative r USING (patient_key)
    WHERE r.blocked = false
),
revoked AS (
    SELECT patient_key, a.purpose, max(a.revoked_at) AS at
    FROM subjects JOIN contract."authorization" a USING (patient_key) CROSS JOIN day
    WHERE a.revoked_at < day.midnight AND coalesce(a.signed_at, '-infinity') < day.midnight
    GROUP BY patient_key, a.purpose
),
-- Forms with six elements and three notices, signed by who may sign, in force, not revoked since.
sound AS (
    SELECT a.patient_key, a.purpose, a.authorization_key, a.representative_key, a.signed_at
    FROM contract."authorization" a CROSS JOIN day
    JOIN person ON person.patient_key = a.patient_key
    LEFT JOIN revoked ON revoked.patient_key = a.patient_key AND revoked.purpose = a.purpose
    LEFT JOIN (SELECT DISTINCT patient_key, representative_key FROM acting
               WHERE btrim(authority) <> '' AND limited_by IS NULL) AS signer
      ON signer.patient_key = a.patient_key AND signer.representative_key = a.representative_key
    WHERE a.purpose = ANY (CAST(:consent_purposes AS text[]) || ARRAY['email', 'part2'])
      AND a.signed_at < day.midnight
      AND coalesce(a.revoked_at, 'infinity') >= a.signed_at
      AND coalesce(revoked.at, '-infinity') < a.signed_at
      AND coalesce(a.expires_on, 'infinity') >= day.today
      AND coalesce(a.event_at, 'infinity') >= day.midnight
      AND btrim(a.form_version) <> '' AND btrim(a.information) <> '' AND btrim(a.discloser) <> ''
      AND btrim(a.recipient) <> '' AND btrim(a.purpose_text) <> ''
      AND coalesce(CAST(a.expires_on AS text), btrim(a.expires_event)) <> ''
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
    SELECT DISTINCT patient_key FROM contract.opt_out o CROSS JOIN day
    WHERE o.at < day.midnight AND (coalesce(o.campaign, :slug) = :slug
           OR NOT o.campaign = ANY (CAST(:campaigns AS text[])))
),
restricted AS (
    SELECT DISTINCT patient_key FROM contract.restriction r CROSS JOIN day
    WHERE r.since < day.midnight
      AND coalesce(r.until, day.midnight) >= day.midnight - INTERVAL '1 day'
),
-- The address that the letter of a patient must have, where there is one.
own AS (
    SELECT c.patient_key, c.bounced_at, c.confidential_channel,
        CASE c.confidential_channel WHEN 'email' THEN c.confidential_email ELSE c.email END AS email,
        CASE c.confidential_channel WHEN 'email' THEN c.confidential_verified_at
                                    ELSE c.verified_at END AS verified_at
    FROM contract.contact c
),
-- Who signed a minor's newest sound opt-in: theirs is the address.
signatory AS (
    SELECT DISTINCT ON (patient_key) patient_key, representative_key FROM sound
    WHERE purpose = 'email' AND representative_key IS NOT NULL
    ORDER BY patient_key, signed_at DESC, authorization_key
),
guardian AS (
    SELECT patient_key,
        array_agg(r.email) FILTER (WHERE r.email IS NOT NULL) AS emails,
        array_agg(r.email) FILTER (WHERE r.email IS NOT NULL AND r.verified_at < day.midnight) AS verified
    FROM signatory JOIN acting r USING (patient_key, representative_key) CROSS JOIN day
    GROUP BY patient_key
),
programmes AS (
    SELECT patient_key, array_agg(DISTINCT g.category) AS categories
    FROM contract.programme g CROSS JOIN day
    WHERE g.since < day.midnight GROUP BY patient_key
)
SELECT
    s.patient_key,
    s.staged,
    coalesce(person.alive, false),
    coalesce(person.plausible, true),
    stopped.patient_key IS NOT NULL,
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
    own.confidential_channel IS NULL OR own.confidential_channel = 'email' AND coalesce(person.adult, false),
    -- The patient's own address, or that of who signed for a minor.
    CASE
        WHEN s.staged AND s.recipient IS NULL THEN true
        WHEN person.adult
        THEN coalesce(CASE WHEN s.recipient IS NULL THEN own.email IS NOT NULL
                           ELSE s.recipient = own.email END, false)
        ELSE coalesce(CASE WHEN s.recipient IS NULL THEN guardian.emails <> '{}'
                           ELSE s.recipient = ANY (guardian.emails) END, false)
    END,
    -- There is a confirmed address of that kind; another's vouches for nobody.
    CASE
        WHEN person.adult THEN own.email IS NULL OR coalesce(own.verified_at, 'infinity') < day.midnight
        ELSE coalesce(CASE WHEN s.recipient = ANY (guardian.emails)
                           THEN s.recipient = ANY (guardian.verified)
                           ELSE guardian.verified <> '{}' END, false)
    END,
    NOT coalesce(own.bounced_at < day.midnight AND own.bounced_at >= own.verified_at AND person.adult, false),
    -- Each sensitive programme is allowed by a reviewed rule; substance use has its own consent.
    CASE
        WHEN programmes.patient_key IS NULL THEN NOT coalesce(person.sensitive, false)
        ELSE NOT EXISTS (SELECT 1 FROM unnest(programmes.categories) AS g (category)
                         WHERE coalesce(person.state, '?') || '/' || g.category
                               <> ALL (CAST(:categories_allowed AS text[]))
                            OR g.category = 'substance_use'
                               AND ('part2' = ANY (consents.purposes)) IS NOT TRUE)
    END,
    s.medication_key IS NULL OR coalesce(s.medication_key <> ALL (medicines.sensitive), true),
    -- Neither kind nor place of the appointment betrays a sensitive service; of who was only
    -- expected, of the earliest.
    coalesce(coalesce(s.appointment_key, upcoming.appointments[1]) <> ALL (upcoming.betraying), true)
FROM subject s CROSS JOIN day
LEFT JOIN person USING (patient_key)
LEFT JOIN stopped USING (patient_key)
LEFT JOIN upcoming USING (patient_key)
LEFT JOIN medicines USING (patient_key)
LEFT JOIN consents USING (patient_key)
LEFT JOIN opted_out USING (patient_key)
LEFT JOIN restricted USING (patient_key)
LEFT JOIN own USING (patient_key)
LEFT JOIN guardian USING (patient_key)
LEFT JOIN programmes USING (patient_key)
