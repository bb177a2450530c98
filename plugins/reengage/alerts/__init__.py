"""Alerts: what staff are told at once, by e-mail and webhook, without anything of a patient."""
