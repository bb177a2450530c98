"""Audit: is the ledger what it was, and does it know everything that ran (docs/audit.md)?"""
