-- Where the store has sent from, the newest row last. Unlike the incarnation it survives a crash, and a
-- copy carries it: one that is elsewhere and that nobody has moved in sends nothing (restored.py).
CREATE TABLE store_home (
    home_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place   text NOT NULL,                               -- store_place()
    since   timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE UPDATE, DELETE ON store_home FROM reengage_tasks;
INSERT INTO store_home (place) SELECT store_place() WHERE EXISTS (SELECT FROM run);
