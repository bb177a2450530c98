-- The funnel of each campaign's latest run, or of its latest run for one day (parameter as_of), or of
-- one run (parameter run_id).
-- A day's letters belong to the day, whichever run composed or sent them, so that running a day
-- twice shows the same numbers; a dry run or replay shows its own rehearsed letters. An excluded
-- candidate counts once, under the first of its reasons, so that the totals add up. Data quality counts
-- every code that tells of contradicting data (parameter contradictions) and every note, each patient
-- under all that apply. Letters that left, or were rehearsed, count by how they are sealed.
WITH latest AS (
    SELECT DISTINCT ON (campaign) *
    FROM run
    WHERE extracted_at IS NOT NULL
      AND (CAST(:as_of AS date) IS NULL OR campaign_date = CAST(:as_of AS date))
      AND (CAST(:run_id AS uuid) IS NULL OR run_id = CAST(:run_id AS uuid))
    ORDER BY campaign, opened_at DESC
),
excluded AS (
    SELECT run_id, jsonb_object_agg(reason, patients ORDER BY reason) AS reasons, sum(patients) AS patients
    FROM (
        SELECT d.run_id, d.reasons[1] AS reason, count(*) AS patients
        FROM latest
        JOIN decision d ON d.run_id = latest.run_id AND d.campaign_date = latest.campaign_date
        WHERE d.arm IS NULL
        GROUP BY d.run_id, d.reasons[1]
    ) AS by_reason
    GROUP BY run_id
),
quality AS (
    SELECT run_id, jsonb_object_agg(code, patients ORDER BY code) AS codes
    FROM (
        SELECT d.run_id, code, count(*) AS patients
        FROM latest
        JOIN decision d ON d.run_id = latest.run_id AND d.campaign_date = latest.campaign_date
        CROSS JOIN unnest(d.reasons || d.notes) AS code
        WHERE code = ANY(d.notes) OR code = ANY(CAST(:contradictions AS text[]))
        GROUP BY d.run_id, code
    ) AS by_code
    GROUP BY run_id
),
arms AS (
    SELECT d.run_id,
        count(*) FILTER (WHERE d.arm IS NOT NULL) AS eligible,
        count(*) FILTER (WHERE d.arm = 'holdout') AS held_out
    FROM latest
    JOIN decision d ON d.run_id = latest.run_id AND d.campaign_date = latest.campaign_date
    GROUP BY d.run_id
),
letters AS (
    SELECT run_id, jsonb_object_agg(state, letters) AS states, sum(letters) AS letters
    FROM (
        SELECT latest.run_id, l.state, count(*) AS letters
        FROM latest JOIN letter l
          ON l.campaign = latest.campaign AND l.campaign_date = latest.campaign_date
         AND l.rehearsal IS NOT DISTINCT FROM
             CASE WHEN latest.mode <> 'live' THEN latest.run_id END
        GROUP BY latest.run_id, l.state
    ) AS by_state
    GROUP BY run_id
),
seals AS (
    SELECT run_id, jsonb_object_agg(seal, letters) AS seals
    FROM (
        SELECT latest.run_id, l.seal, count(*) AS letters
        FROM latest JOIN letter l
          ON l.campaign = latest.campaign AND l.campaign_date = latest.campaign_date
         AND l.rehearsal IS NOT DISTINCT FROM
             CASE WHEN latest.mode <> 'live' THEN latest.run_id END
        WHERE l.state IN ('sent', 'unknown', 'rehearsed') AND l.seal IS NOT NULL
        GROUP BY latest.run_id, l.seal
    ) AS by_seal
    GROUP BY run_id
),
steps AS (
    -- Mapped tasks run side by side: a step lasts from its first start to its last end. Of a task
    -- that was retried or cleared the latest try counts, not the wait before it.
    SELECT run_id, jsonb_object_agg(task, seconds ORDER BY begun) AS seconds
    FROM (
        SELECT s.run_id, s.task, min(s.started_at) AS begun,
            round(CAST(extract(epoch FROM max(s.ended_at) - min(s.started_at)) AS numeric), 2) AS seconds
        FROM (
            SELECT DISTINCT ON (step.run_id, step.task, step.map_index) step.*
            FROM latest JOIN step ON step.run_id = latest.run_id
            ORDER BY step.run_id, step.task, step.map_index, step.started_at DESC
        ) AS s
        GROUP BY s.run_id, s.task
    ) AS by_task
    GROUP BY run_id
)
SELECT
    latest.campaign, latest.campaign_date AS as_of, latest.mode,
    latest.finished_at IS NOT NULL AS finished,
    latest.living, latest.inactive, latest.candidates,
    coalesce(excluded.reasons, '{}') AS excluded,
    coalesce(arms.eligible, 0) AS eligible,
    coalesce(arms.held_out, 0) AS held_out,
    coalesce(letters.states, '{}') AS states,
    coalesce(steps.seconds, '{}') AS seconds,
    coalesce(quality.codes, '{}') AS quality,
    coalesce(seals.seals, '{}') AS seals,
    latest.warnings
FROM latest
LEFT JOIN excluded USING (run_id)
LEFT JOIN arms USING (run_id)
LEFT JOIN letters USING (run_id)
LEFT JOIN steps USING (run_id)
LEFT JOIN quality USING (run_id)
LEFT JOIN seals USING (run_id)
ORDER BY latest.campaign
