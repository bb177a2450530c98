-- Keeps what the warehouse said on a day where it is not what was known before: only then is there a
-- row. What was known and is told no more (a visit that was cancelled) is a row of its own, with
-- nothing in it. Reads the temporary table `seen` (what it said); who was asked about as in open.sql.
-- What was known is gathered before anything is written: looked up row by row, a table without
-- statistics would be read anew for each, as it grows.
-- Parameters: campaign, day, ends, begun_since.
WITH asked AS MATERIALIZED (
    SELECT f.follow_up_id
    FROM follow_up AS f
    JOIN follow_up_key AS k ON k.run_id = f.run_id AND k.part = f.part
    WHERE f.campaign = :campaign AND f.begins_at < :ends AND f.begins_at > :begun_since
),
known AS MATERIALIZED (
    SELECT DISTINCT ON (o.follow_up_id) o.*
    FROM outcome AS o JOIN asked ON asked.follow_up_id = o.follow_up_id
    WHERE o.known_on < :day
    ORDER BY o.follow_up_id, o.known_on DESC
)
INSERT INTO outcome (follow_up_id, known_on, returned_at, booked_at, appointment_at, kept, died_on)
SELECT asked.follow_up_id, :day, s.returned_at, s.booked_at, s.appointment_at, s.kept, s.died_on
FROM asked
LEFT JOIN seen AS s ON s.number = asked.follow_up_id
LEFT JOIN known ON known.follow_up_id = asked.follow_up_id
WHERE (s.returned_at, s.booked_at, s.appointment_at, s.kept, s.died_on)
    IS DISTINCT FROM
    (known.returned_at, known.booked_at, known.appointment_at, known.kept, known.died_on)
