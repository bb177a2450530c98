-- A look-up of one patient is a look-up in an index, on a warehouse of millions too.
ALTER TABLE contact ADD PRIMARY KEY (patient_key);
ALTER TABLE representative ADD PRIMARY KEY (patient_key, representative_key);
ALTER TABLE "authorization" ADD PRIMARY KEY (authorization_key);
CREATE INDEX ON "authorization" (patient_key, purpose);
CREATE INDEX ON restriction (patient_key);
CREATE INDEX ON opt_out (patient_key);
CREATE INDEX ON programme (patient_key);
ANALYZE contact, representative, "authorization", restriction, opt_out, programme;
