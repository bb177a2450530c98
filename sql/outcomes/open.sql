-- Follow-ups that the warehouse is asked about as of a day: begun, and not over for longer than the
-- time in which a visit may still be entered late. By the part in which their keys are sealed.
-- Parameters: campaign, ends, begun_since.
SELECT f.run_id, f.part, f.campaign_date, k.sealed,
    array_agg(f.follow_up_id ORDER BY f.follow_up_id) AS numbers,
    array_agg(f.patient ORDER BY f.follow_up_id) AS patients,
    array_agg(f.begins_at ORDER BY f.follow_up_id) AS begun,
    array_agg(f.described_on IS NULL ORDER BY f.follow_up_id) AS describe
FROM follow_up AS f
JOIN follow_up_key AS k ON k.run_id = f.run_id AND k.part = f.part
WHERE f.campaign = :campaign AND f.begins_at < :ends AND f.begins_at > :begun_since
GROUP BY f.run_id, f.part, f.campaign_date, k.sealed
ORDER BY f.run_id, f.part
