-- The newest entries of a kind, by index. Nearly all entries are disclosures, a million in a row: who
-- looked for run events among them read 30,000 rows for 400. Disclosures themselves are not in it, as
-- they are found anywhere by the primary key, so that a letter's record costs what it did.
CREATE INDEX ledger_of_kind ON ledger_entry (kind, index) WHERE kind <> 'disclosure';
