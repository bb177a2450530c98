"""reengage: win back patients who stopped coming, by e-mail, within HIPAA."""
