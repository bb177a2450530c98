"""The rooms of the daily run; none opens into another, the operators walk from one to the next."""
