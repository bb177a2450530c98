-- Count one try to log in, in the window that `now` is in; gives how many that are.
-- Parameters: name (pseudonym of an account or of an address of the network), now, seconds (length
-- of a window). In the table of the portal's pace, which forgets a window after a day.
INSERT INTO portal_pace AS p (address, began, asked)
VALUES (:name, date_bin(CAST(:seconds AS int) * INTERVAL '1 second', CAST(:now AS timestamptz), '2000-01-01Z'), 1)
ON CONFLICT (address, began) DO UPDATE SET asked = p.asked + 1
RETURNING asked
