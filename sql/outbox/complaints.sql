-- A campaign's letters that left in the last days, and how many of them were called spam: those after
-- the last day that a person has seen to. Parameters: campaign, day, since (dates, exclusive).
SELECT
    count(*) AS letters,
    count(*) FILTER (WHERE EXISTS (
        SELECT FROM response AS r WHERE r.letter_id = l.letter_id AND r.verdict = 'complaint'
    )) AS complaints
FROM letter AS l
WHERE l.campaign = :campaign AND l.rehearsal IS NULL AND l.state IN ('sent', 'unknown')
  AND l.campaign_date <= :day AND l.campaign_date > :since
  AND l.campaign_date > coalesce(
      (SELECT max(until) FROM complaints_seen WHERE campaign = :campaign), '-infinity')
