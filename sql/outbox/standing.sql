-- What our own store knows against writing to these candidates on the day.
-- Parameters: patients, periods, recipients (arrays of pseudonyms), campaign, day, cap_days, live.
-- A letter of the same day was decided before: the day's decision stands (`done`), and the last
-- look at the claim covers what changed since. A withheld letter was offered to nobody and counts
-- for nothing. Letters of later days count for a live run only: a replay knows no future.
WITH theirs AS (
    SELECT asked.patient, asked.period, asked.recipient,
        l.campaign_date, l.state, l.period = asked.period AS same_period
    FROM unnest(CAST(:patients AS text[]), CAST(:periods AS text[]), CAST(:recipients AS text[]))
        AS asked (patient, period, recipient)
    LEFT JOIN letter l ON l.patient = asked.patient AND l.campaign = :campaign
        AND l.rehearsal IS NULL
        AND (l.campaign_date <= CAST(:day AS date) OR CAST(:live AS boolean))
)
SELECT
    patient,
    array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = theirs.patient
                          AND (o.campaign IS NULL OR o.campaign = :campaign)) THEN 'opted_out' END,
        CASE WHEN EXISTS (SELECT 1 FROM suppression s WHERE s.recipient = theirs.recipient)
             THEN 'address_suppressed' END,
        CASE WHEN bool_or(same_period AND state <> 'withheld'
                          AND campaign_date <> CAST(:day AS date)) THEN 'already_written' END,
        -- An open letter counts, too: this run takes it over and sends it.
        CASE WHEN bool_or(state NOT IN ('refused', 'withheld')
                          AND campaign_date <> CAST(:day AS date)
                          AND abs(campaign_date - CAST(:day AS date)) < CAST(:cap_days AS int))
             THEN 'frequency_cap' END
    ], NULL) AS reasons,
    coalesce(bool_or(campaign_date = CAST(:day AS date)), false) AS done
FROM theirs
GROUP BY patient, recipient
