"""Ledger: what the tasks did, in bytes that nobody can quietly change.

`docs/ledger-format.md` is the promise; this package keeps it. `append` writes in the caller's
transaction, `verify` derives everything again from bytes, `checkpoint` and `proof` speak to people
who have no database (LOG-01 to LOG-12).
"""
