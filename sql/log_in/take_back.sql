-- Take one try back that was right, of the window that `now` is in.
-- Parameters: name (pseudonym), now (of the try), seconds (length of a window).
UPDATE portal_pace
SET asked = asked - 1
WHERE address = :name AND asked > 0
  AND began = date_bin(CAST(:seconds AS int) * INTERVAL '1 second', CAST(:now AS timestamptz), '2000-01-01Z')
