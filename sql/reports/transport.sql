-- How the letters of a run's day travelled (parameter run_id): letters by state, seal, TLS version,
-- cipher and the relay's code, the most frequent first. A letter that was never offered has none.
SELECT l.state, l.seal, l.evidence ->> 'tls_version' AS tls_version, l.evidence ->> 'cipher' AS cipher,
    l.evidence ->> 'code' AS code, count(*) AS letters
FROM run r
JOIN letter l
  ON l.campaign = r.campaign AND l.campaign_date = r.campaign_date
 AND l.rehearsal IS NOT DISTINCT FROM CASE WHEN r.mode <> 'live' THEN r.run_id END
WHERE r.run_id = :run_id AND l.evidence IS NOT NULL
GROUP BY 1, 2, 3, 4, 5
ORDER BY letters DESC, 1, 2, 3, 4, 5;
