-- Temporary table of the session that asks: whose follow-ups are open. Gone with the session.
-- `appointment_key`: what a reminder is about, else null; `describe`: nobody has asked yet what group
-- the patient belongs to.
CREATE TEMPORARY TABLE followed (
    number bigint NOT NULL, patient_key text NOT NULL, begins_at timestamptz NOT NULL,
    appointment_key text, describe boolean NOT NULL
)
