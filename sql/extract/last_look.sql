-- The last look before a claim: may these patients still be written to, at which address, and does
-- what each letter speaks of still stand? One row per letter, `number` its place in the arrays; more
-- than one where a view has a key twice.
-- Parameters: patient_keys, appointment_keys, medication_keys, at_portal (one element per letter), and those of
-- parts/standing.sql as of now: `ends` lies a minute ahead of our clock, since the clocks differ, and
-- what the warehouse dates before it counts as having happened. Reads the warehouse as it is now.
WITH
letter AS (
    SELECT number, patient_key, appointment_key, medication_key, at_portal
    FROM unnest(
        CAST(:patient_keys AS text[]),
        CAST(:appointment_keys AS text[]),
        CAST(:medication_keys AS text[]),
        CAST(:at_portal AS boolean[])
    ) WITH ORDINALITY AS one (patient_key, appointment_key, medication_key, at_portal, number)
),
-- One row per patient; appointment and medicine are asked about below, since two letters may name two.
audience AS (
    SELECT DISTINCT patient_key, CAST(NULL AS text) AS appointment_key, CAST(NULL AS text) AS medication_key
    FROM letter
),
-- include: extract/parts/standing.sql
,
-- Kept apart: merged into the columns below, each of them would find the reasons anew.
looked AS MATERIALIZED (
    SELECT
        letter.number,
        standing.recipient,
        standing.certificate,
        standing.reads_authenticated,
        standing.consents,
        CASE WHEN standing.evidence ->> 'minor' = 'false'                                         -- PRV-23
             THEN standing.evidence ->> 'verified_at' END AS verified_at,
        asked.birth_date,
        asked.zip,
        a.start_at,
        a.location,
        m.name,
        m.dosage_text,
        standing.reasons || array_remove(ARRAY[
            CASE WHEN EXISTS (
                SELECT 1 FROM contract.visit AS v
                WHERE v.patient_key = letter.patient_key AND v.status <> 'cancelled'
                  AND v.start_at >= :inactive_since AND v.start_at < :ends
            ) THEN 'returned' END,
            -- A letter that wins back whoever has booked by now.
            CASE WHEN letter.appointment_key IS NULL AND letter.medication_key IS NULL AND EXISTS (
                SELECT 1 FROM contract.appointment AS b
                WHERE b.patient_key = letter.patient_key AND b.status = 'booked'
                  AND b.start_at >= :ends AND b.start_at < :booking_ends
            ) THEN 'future_appointment' END,
            CASE WHEN letter.appointment_key IS NOT NULL
                  AND a.status IS DISTINCT FROM 'booked' THEN 'appointment_changed' END,
            CASE WHEN letter.medication_key IS NOT NULL                                       -- PRV-10
                  AND (m.medication_key IS NULL OR m.end_at < :ends OR m.lapsed_on < :as_of - 90)
                 THEN 'prescription_ended' END,
            CASE WHEN m.sensitive_class IS NOT NULL THEN 'sensitive_medicine' END,            -- PRV-32
            CASE WHEN translate(concat_ws(' ', a.service_line, a.location), '_', ' ')         -- PRV-32
                      ~* CAST(:sensitive_services AS text) THEN 'sensitive_service_line' END
        ], NULL) AS reasons
    FROM letter
    JOIN standing ON standing.patient_key = letter.patient_key
    LEFT JOIN contract.appointment AS a
        ON a.appointment_key = letter.appointment_key AND a.patient_key = letter.patient_key
    LEFT JOIN contract.medication AS m
        ON m.medication_key = letter.medication_key AND m.patient_key = letter.patient_key
    -- What the portal asks for, read of nobody else (PRV-18).
    LEFT JOIN contract.patient AS asked
        ON letter.at_portal AND asked.patient_key = letter.patient_key
)
SELECT
    number,
    reasons,
    CASE WHEN cardinality(reasons) = 0 THEN recipient END AS recipient,
    CASE WHEN cardinality(reasons) = 0 THEN certificate END AS certificate,
    CASE WHEN cardinality(reasons) = 0 THEN reads_authenticated END AS reads_authenticated,
    CASE WHEN cardinality(reasons) = 0 THEN consents END AS consents,
    CASE WHEN cardinality(reasons) = 0 THEN verified_at END AS verified_at,
    CASE WHEN cardinality(reasons) = 0 THEN birth_date END AS birth_date,
    CASE WHEN cardinality(reasons) = 0 THEN zip END AS zip,
    CASE WHEN cardinality(reasons) = 0 THEN start_at END AS appointment_start_at,
    CASE WHEN cardinality(reasons) = 0 THEN location END AS appointment_location,
    CASE WHEN cardinality(reasons) = 0 THEN name END AS medication_name,
    CASE WHEN cardinality(reasons) = 0 THEN dosage_text END AS medication_dosage_text
FROM looked
