"""How many people are in a place: the rules, and their ledger."""
