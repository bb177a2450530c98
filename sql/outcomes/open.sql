-- Follow-ups that the warehouse is asked about as of a day: begun, and not over for longer than the
-- time in which a visit may still be entered late. By the part in which their keys are sealed, which
-- is joined once they are gathered: a part's seal is large, and must not be carried along for each.
-- Parameters: campaign, ends, begun_since.
SELECT f.run_id, f.part, f.campaign_date, k.sealed, f.numbers, f.patients, f.begun, f.describe
FROM (
    SELECT run_id, part, campaign_date,
        array_agg(follow_up_id) AS numbers,
        array_agg(patient) AS patients,
        array_agg(begins_at) AS begun,
        array_agg(described_on IS NULL) AS describe
    FROM follow_up
    WHERE campaign = :campaign AND begins_at < :ends AND begins_at > :begun_since
    GROUP BY run_id, part, campaign_date
) AS f
JOIN follow_up_key AS k ON k.run_id = f.run_id AND k.part = f.part
