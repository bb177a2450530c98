-- What our own store knows against writing to these candidates on the day.
-- Parameters: patients, periods, recipients (arrays of pseudonyms), consents (JSON: needed
-- purpose to the signing of its form, null = none, and any revocation counts), campaign, day, cap_days,
-- any_cap_days (the same for letters of other campaigns), verified (when each address was confirmed: a
-- suppressed one that was confirmed since is free again, PRV-23), purpose (the campaign's),
-- purpose_scope (`purpose:<it>`), now, live, known_until (the end of a past day
-- that is played again, which knows of no later refusal; NULL = all that is known).
-- A letter of the same day was decided before: the day's decision stands (`done`), and the last
-- look at the claim covers what changed since. A withheld letter was offered to nobody and counts
-- for nothing. Letters of later days count for a live run only: a replay knows no future.
WITH theirs AS (
    SELECT asked.patient, asked.period, asked.recipient, asked.consents, asked.verified_at,
        l.campaign_date, l.state, l.period = asked.period AS same_period
    FROM unnest(CAST(:patients AS text[]), CAST(:periods AS text[]), CAST(:recipients AS text[]),
        CAST(:consents AS text[]), CAST(:verified AS text[]))
        AS asked (patient, period, recipient, consents, verified_at)
    LEFT JOIN letter l ON l.patient = asked.patient AND l.campaign = :campaign
        AND l.rehearsal IS NULL
        AND (l.campaign_date <= CAST(:day AS date) OR CAST(:live AS boolean))
)
SELECT
    patient,
    array_remove(ARRAY[
        CASE WHEN EXISTS (SELECT 1 FROM restriction x WHERE x.patient = theirs.patient      -- PRV-22
                          AND (x.at < CAST(:known_until AS timestamptz)) IS NOT FALSE)
             THEN 'restriction' END,
        CASE WHEN EXISTS (SELECT 1 FROM opt_out o WHERE o.patient = theirs.patient
                          AND (o.campaign IS NULL OR o.campaign = :campaign
                               OR o.campaign = CAST(:purpose_scope AS text))
                          AND (o.at < CAST(:known_until AS timestamptz)) IS NOT FALSE)
             THEN 'opted_out' END,
        CASE WHEN EXISTS (SELECT 1 FROM revocation r                                        -- PRV-06
                          JOIN jsonb_each_text(CAST(theirs.consents AS jsonb))
                              AS form (purpose, signed_at)
                            ON r.purpose IS NULL OR r.purpose = form.purpose
                          WHERE r.patient = theirs.patient
                            AND (r.revoked_at < CAST(:known_until AS timestamptz)) IS NOT FALSE
                            AND (r.revoked_at < CAST(form.signed_at AS timestamptz)) IS NOT TRUE)
             THEN 'authorization_revoked' END,
        CASE WHEN EXISTS (SELECT 1 FROM suppression s WHERE s.recipient = theirs.recipient
                          AND (s.at < CAST(:known_until AS timestamptz)) IS NOT FALSE
                          AND (least(s.lifted_at, s.expires_at)
                               > coalesce(CAST(:known_until AS timestamptz), :now)) IS NOT FALSE
                          AND (CAST(theirs.verified_at AS timestamptz) > s.at) IS NOT TRUE)
             THEN 'address_suppressed' END,
        CASE WHEN EXISTS (SELECT 1 FROM suppression s
                          WHERE s.patient = theirs.patient AND s.purpose = :purpose
                          AND (s.at < CAST(:known_until AS timestamptz)) IS NOT FALSE
                          AND (least(s.lifted_at, s.expires_at)
                               > coalesce(CAST(:known_until AS timestamptz), :now)) IS NOT FALSE)
             THEN 'complained' END,
        CASE WHEN bool_or(same_period AND state <> 'withheld'
                          AND campaign_date <> CAST(:day AS date)) THEN 'already_written' END,
        -- An open letter counts, too: this run takes it over and sends it.
        CASE WHEN bool_or(state NOT IN ('refused', 'withheld')
                          AND campaign_date <> CAST(:day AS date)
                          AND abs(campaign_date - CAST(:day AS date)) < CAST(:cap_days AS int))
             -- Another campaign's open letter of the same day may yet go second: the claims decide.
             OR EXISTS (SELECT 1 FROM letter o WHERE o.patient = theirs.patient
                        AND o.campaign <> :campaign AND o.rehearsal IS NULL
                        AND (o.campaign_date <= CAST(:day AS date) OR CAST(:live AS boolean))
                        AND (o.state IN ('claimed', 'attempted', 'answered', 'sent', 'unknown')
                             OR (o.state IN ('composed', 'deferred')
                                 AND o.campaign_date < CAST(:day AS date)))
                        AND abs(o.campaign_date - CAST(:day AS date)) < CAST(:any_cap_days AS int))
             THEN 'frequency_cap' END
    ], NULL) AS reasons,
    coalesce(bool_or(campaign_date = CAST(:day AS date)), false) AS done
FROM theirs
GROUP BY patient, recipient, consents, verified_at
