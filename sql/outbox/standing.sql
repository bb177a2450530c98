-- What our own store knows against writing to these candidates today.
-- Parameters: patients, periods, recipients (arrays of pseudonyms), campaign, day, cap_days.
-- A letter of the same day was decided before: the day's decision stands (`done`), and the last
-- look at the claim covers what changed since.
SELECT
    asked.patient,
    array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = asked.patient
                          AND (o.campaign IS NULL OR o.campaign = :campaign)) THEN 'opted_out' END,
        CASE WHEN EXISTS (SELECT 1 FROM suppression s WHERE s.recipient = asked.recipient)
             THEN 'address_suppressed' END,
        CASE WHEN EXISTS (SELECT 1 FROM letter l WHERE l.patient = asked.patient
                          AND l.campaign = :campaign AND l.period = asked.period
                          AND l.rehearsal IS NULL AND l.campaign_date < CAST(:day AS date))
             THEN 'already_written' END,
        CASE WHEN EXISTS (SELECT 1 FROM letter l WHERE l.patient = asked.patient
                          AND l.campaign = :campaign AND l.rehearsal IS NULL
                          -- An open letter counts, too: this run takes it over and sends it.
                          AND l.state NOT IN ('refused', 'withheld')
                          AND l.campaign_date < CAST(:day AS date)
                          AND l.campaign_date > CAST(:day AS date) - CAST(:cap_days AS int))
             THEN 'frequency_cap' END
    ], NULL) AS reasons,
    EXISTS (SELECT 1 FROM letter l WHERE l.patient = asked.patient AND l.campaign = :campaign
            AND l.campaign_date = CAST(:day AS date) AND l.rehearsal IS NULL) AS done
FROM unnest(CAST(:patients AS text[]), CAST(:periods AS text[]), CAST(:recipients AS text[]))
    AS asked (patient, period, recipient)
