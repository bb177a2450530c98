-- Puts what was built in force, in the place of whatever source was there.
-- A reader keeps what it reads until its transaction ends. Waiting for it with some of the locks
-- held could be a deadlock, of which the reader would be the victim: the loader gives way before
-- the server looks for one (after a second), and tries again.
-- Parameter: the setting reengage.source, the name of the source that was built.
SET LOCAL lock_timeout = '300ms';
DROP SCHEMA IF EXISTS contract, synthea, omop, fhir CASCADE;
DO $$ BEGIN
    EXECUTE format(
        'ALTER SCHEMA %I RENAME TO %I',
        current_setting('reengage.source') || '_next', current_setting('reengage.source')
    );
END $$;
ALTER SCHEMA contract_next RENAME TO contract;
