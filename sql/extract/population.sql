-- How many patients are alive, and how many of them stopped coming, as of the campaign's day.
WITH
-- include: extract/parts/cohort.sql
SELECT
    (SELECT count(*) FROM living) AS living,
    (SELECT count(*) FROM inactive) AS inactive
