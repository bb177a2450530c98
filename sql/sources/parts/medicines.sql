-- Makes the table `medicines`: what is said of each medicine in `described`, which has a column
-- `description`, as a name, a dosage and a sensitive class.
--
-- A description such as '24 HR Donepezil hydrochloride 10 MG / Memantine hydrochloride 28 MG
-- Extended Release Oral Capsule' as a name without strength, and a dosage without name. The
-- product number goes, a leading duration or volume moves behind the strength.
CREATE TABLE medicines AS
WITH trimmed AS (
    SELECT DISTINCT
        description,
        regexp_replace(description, '^(NDA[0-9]+|Abuse-Deterrent)\s+', '') AS rest
    FROM described
),
led AS (
    SELECT
        description,
        substring(rest FROM '^([0-9.]+ (?:HR|ML|ACTUAT|DAY))\s') AS lead,
        regexp_replace(rest, '^[0-9.]+ (?:HR|ML|ACTUAT|DAY)\s+', '') AS body
    FROM trimmed
),
parts AS (
    SELECT
        led.description, led.lead, part.rank,
        regexp_match(part.content, '^(.+?)\s+([0-9].*)$') AS split, part.content
    FROM led CROSS JOIN regexp_split_to_table(led.body, '\s+/\s+') WITH ORDINALITY AS part (content, rank)
),
joined AS (
    SELECT
        description, min(lead) AS lead,
        regexp_replace(string_agg(coalesce(split[1], content), ' / ' ORDER BY rank), '\s+', ' ', 'g') AS name,
        string_agg(split[2], ' / ' ORDER BY rank) AS strength
    FROM parts
    GROUP BY description
)
SELECT
    j.description, j.name,
    coalesce(j.strength || coalesce(' (' || j.lead || ')', ''), j.lead, 'as prescribed') AS dosage_text,
    (SELECT min(s.class) FROM sensitive_medicines s
     WHERE position(lower(s.ingredient) IN lower(j.description)) > 0) AS sensitive_class
FROM joined j;
ALTER TABLE medicines ADD PRIMARY KEY (description);
ANALYZE medicines;
