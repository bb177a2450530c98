"""Backup: a store that is lost comes back, and nothing that was said or done since is undone."""
