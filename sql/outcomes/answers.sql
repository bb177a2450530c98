-- Temporary table of what the warehouse said, one row for each follow-up of which it said anything.
CREATE TEMPORARY TABLE seen (
    number bigint PRIMARY KEY, returned_at timestamptz, booked_at timestamptz,
    appointment_at timestamptz, kept boolean, died_on date,
    describe boolean, language text, age_band text, service_line text
) ON COMMIT DROP
