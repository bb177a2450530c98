-- What is told of a campaign's outcomes is told once and for good: reports are added up from it.
-- A patient counts once in a campaign, with the first follow-up. Reports that were made otherwise are
-- made anew from the days that follow.

UPDATE follow_up AS f SET counts = false
WHERE f.counts AND EXISTS (
    SELECT FROM follow_up AS earlier
    WHERE earlier.campaign = f.campaign AND earlier.patient = f.patient
      AND (earlier.begins_at, earlier.follow_up_id) < (f.begins_at, f.follow_up_id)
);

CREATE TABLE report.told (
    campaign     text NOT NULL,
    cohort       int  NOT NULL,
    began        date NOT NULL,                -- first day of the group's first month, UTC
    ended        date NOT NULL,                -- first day of the month after its last
    slice        text NOT NULL,
    level        text NOT NULL,
    arm          text NOT NULL,
    horizon_days int  NOT NULL,                -- of the curve, too: days between the horizons
    told_on      date NOT NULL,
    patients     bigint NOT NULL,
    returned     bigint NOT NULL,
    booked       bigint,
    kept         bigint,
    written      bigint,
    PRIMARY KEY (campaign, cohort, began, slice, level, arm, horizon_days)
);
GRANT SELECT ON report.told TO reengage_reporter;
-- Told once: the tasks add to it, and change and remove nothing.
GRANT SELECT, INSERT ON report.told TO reengage_tasks;

TRUNCATE report.published, report.outcome, report.effect, report.return_curve, report.experiment;
ALTER TABLE report.published DROP COLUMN previous;

CREATE TABLE complaints_seen (                 -- a person went on with a campaign that was called spam
    campaign text NOT NULL,
    until    date NOT NULL,                    -- letters up to that day are not looked at again
    seen_by  text NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    because  text NOT NULL
);
CREATE INDEX complaints_seen_by_campaign ON complaints_seen (campaign, until);
-- To go on is a person's: the tasks may read it.
REVOKE ALL ON complaints_seen FROM reengage_tasks;
GRANT SELECT ON complaints_seen TO reengage_tasks;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON complaints_seen
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
