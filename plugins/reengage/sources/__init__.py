"""Sources: how the tables of a system become the contract's views."""
