"""The operator's window: commands that print, and return an exit status."""
