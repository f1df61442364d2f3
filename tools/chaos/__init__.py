"""`make chaos`: a local relay under faults, and an account of every event that it acknowledged."""
