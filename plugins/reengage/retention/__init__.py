"""Retention: what is kept how long and why, in one table, and what applies it daily (SEC-19)."""
