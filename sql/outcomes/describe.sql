-- The groups that the warehouse says patients belong to, once and for all. Parameters: day.
UPDATE follow_up AS f
SET described_on = :day, language = s.language, age_band = s.age_band, service_line = s.service_line
FROM seen AS s
WHERE f.follow_up_id = s.number AND s.describe AND f.described_on IS NULL
