-- The store's database and who may enter it. initdb.sh makes the first one, new-store.sh another.
CREATE DATABASE store OWNER store_owner;
REVOKE ALL ON DATABASE store FROM PUBLIC;
GRANT CONNECT ON DATABASE store TO portal, reporter;
-- TEMPORARY: tasks join keys within a session, in tables that end with it.
GRANT CONNECT, TEMPORARY ON DATABASE store TO tasks, pages;
