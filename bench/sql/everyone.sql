-- Everybody as if they were to be written to: the envelope of a staged row. Parameter: ends (end of the
-- campaign's day). Who lacks a form or an appointment is a red fact, and costs the gate as much.
SELECT
    p.patient_key, c.email AS recipient, p.language, p.time_zone, 'period' AS period_key,
    a.authorization_key, b.appointment_key,
    CAST(NULL AS text) AS medication_key, CAST(:ends AS timestamptz) AS expires_at
FROM contract.patient AS p
JOIN contract.contact AS c ON c.patient_key = p.patient_key
LEFT JOIN contract."authorization" AS a ON a.patient_key = p.patient_key AND a.purpose = 'email'
LEFT JOIN (
    SELECT patient_key, min(appointment_key) AS appointment_key
    FROM contract.appointment WHERE status = 'booked' AND start_at >= :ends GROUP BY patient_key
) AS b ON b.patient_key = p.patient_key
