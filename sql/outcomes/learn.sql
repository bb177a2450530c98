-- Keeps what the warehouse said on a day where it is not what was known before: only then is there a
-- row. What was known and is told no more (a visit that was cancelled) is a row of its own, with
-- nothing in it. Reads the temporary table `seen` (what it said); who was asked about as in open.sql.
-- Parameters: campaign, day, ends, begun_since.
INSERT INTO outcome (follow_up_id, known_on, returned_at, booked_at, appointment_at, kept, died_on)
SELECT asked.follow_up_id, :day, s.returned_at, s.booked_at, s.appointment_at, s.kept, s.died_on
FROM follow_up AS asked
JOIN follow_up_key AS k ON k.run_id = asked.run_id AND k.part = asked.part
LEFT JOIN seen AS s ON s.number = asked.follow_up_id
LEFT JOIN LATERAL (
    SELECT * FROM outcome AS o
    WHERE o.follow_up_id = asked.follow_up_id AND o.known_on < :day
    ORDER BY o.known_on DESC LIMIT 1
) AS known ON true
WHERE asked.campaign = :campaign AND asked.begins_at < :ends AND asked.begins_at > :begun_since
  AND (s.returned_at, s.booked_at, s.appointment_at, s.kept, s.died_on)
    IS DISTINCT FROM
    (known.returned_at, known.booked_at, known.appointment_at, known.kept, known.died_on)
