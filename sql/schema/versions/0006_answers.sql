-- What the relay answered is kept at once, without waiting for the disk, and settled by the batch.

ALTER TABLE letter DROP CONSTRAINT letter_state_check;
ALTER TABLE letter ADD CONSTRAINT letter_state_check CHECK (state IN
    ('composed', 'claimed', 'attempted', 'answered', 'sent', 'refused', 'deferred', 'unknown',
     'withheld', 'rehearsed'));
ALTER TABLE letter
    ADD COLUMN outcome     text CHECK (outcome IN ('sent', 'refused', 'deferred', 'unknown')),
    ADD COLUMN incarnation uuid,               -- of the store when it was claimed
    ADD CHECK (state <> 'answered' OR outcome IS NOT NULL);
DROP INDEX letter_open;
CREATE INDEX letter_open ON letter (campaign)
    WHERE state IN ('composed', 'claimed', 'attempted', 'answered', 'deferred');

-- One row, which PostgreSQL removes when it recovers from a crash, and which no standby has: marks that
-- were committed without waiting for the disk may be lost then, and claims of before are in doubt.
CREATE UNLOGGED TABLE incarnation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id  uuid NOT NULL
);

-- Who works on a chunk holds this lock in the session that does all its work.
CREATE FUNCTION chunk_lease(run_id uuid, chunk int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('reengage/lease/' || run_id || '/' || chunk, 0)
$$;
