-- The contract's views over the tables of side_tables.sql, which have its columns.
CREATE VIEW contract_next.contact AS SELECT * FROM contact;
CREATE VIEW contract_next.representative AS SELECT * FROM representative;
CREATE VIEW contract_next."authorization" AS SELECT * FROM "authorization";
CREATE VIEW contract_next.restriction AS SELECT * FROM restriction;
CREATE VIEW contract_next.opt_out AS SELECT * FROM opt_out;
CREATE VIEW contract_next.programme AS SELECT * FROM programme;
