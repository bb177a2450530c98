-- Put what was built in force, in the place of what was.
-- A reader keeps what it reads until its transaction ends. Waiting for it with some of the locks
-- held could be a deadlock, of which the reader would be the victim: the loader gives way before
-- the server looks for one (after a second), and tries again.
SET LOCAL lock_timeout = '300ms';
DROP SCHEMA IF EXISTS contract CASCADE;
DROP SCHEMA IF EXISTS synthea CASCADE;
ALTER SCHEMA synthea_next RENAME TO synthea;
ALTER SCHEMA contract_next RENAME TO contract;
