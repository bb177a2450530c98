"""Sealing: the three ways in which a letter reaches its recipient unread."""
