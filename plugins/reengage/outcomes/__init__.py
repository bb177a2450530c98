"""Outcomes: who came back, in both arms, and the tables that tell of it in counts."""
