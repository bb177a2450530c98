"""Log-in: how often somebody may guess a password, at every door of Airflow's that takes one."""
