"""What runs in the processes that are measured; they find it on their path."""
