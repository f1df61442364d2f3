"""`relay.yaml`: what it may say, how it is stored, and what of it is in force."""
