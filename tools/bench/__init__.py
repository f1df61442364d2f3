"""`make bench`: what the relay costs, measured against a floor in the same run."""
