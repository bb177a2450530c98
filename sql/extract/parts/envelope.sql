-- How to address an eligible candidate; of an excluded one nothing but the reasons (PRV-18) and the
-- rows they rest on, which are sealed with the decision. What the patient's record has and a row then
-- lacks was lost on the way: decide.py holds `language_known` and its like against it.
SELECT
    audience.patient_key,
    standing.reasons,
    standing.authorization_duplicate,
    standing.evidence || jsonb_build_object('appointment_key', audience.appointment_key,
        'medication_key', audience.medication_key, 'language_known', standing.language IS NOT NULL,
        'time_zone_known', standing.time_zone IS NOT NULL,
        'certificate_known', standing.certificate_known,
        'reads_authenticated_known', standing.reads_authenticated IS NOT NULL) AS evidence,
    CASE WHEN cardinality(standing.reasons) = 0 THEN standing.recipient END AS recipient,
    CASE WHEN cardinality(standing.reasons) = 0 THEN standing.certificate END AS certificate,
    CASE WHEN cardinality(standing.reasons) = 0
         THEN standing.reads_authenticated END AS reads_authenticated,
    CASE WHEN cardinality(standing.reasons) = 0 THEN standing.language END AS language,
    CASE WHEN cardinality(standing.reasons) = 0 THEN standing.time_zone END AS time_zone,
    CASE WHEN cardinality(standing.reasons) = 0 THEN audience.period_key END AS period_key,
    CASE WHEN cardinality(standing.reasons) = 0 THEN standing.authorization_key END AS authorization_key,
    CASE WHEN cardinality(standing.reasons) = 0 THEN audience.appointment_key END AS appointment_key,
    CASE WHEN cardinality(standing.reasons) = 0 THEN audience.medication_key END AS medication_key,
    CASE WHEN cardinality(standing.reasons) = 0 THEN audience.expires_at END AS expires_at
