-- Count one request of an address of the network in the current window; gives how many that are.
-- Parameters: address (pseudonym), seconds (length of a window).
INSERT INTO portal_pace AS p (address, began, asked)
VALUES (:address, date_bin(CAST(:seconds AS int) * INTERVAL '1 second', clock_timestamp(), '2000-01-01Z'), 1)
ON CONFLICT (address, began) DO UPDATE SET asked = p.asked + 1
RETURNING asked
