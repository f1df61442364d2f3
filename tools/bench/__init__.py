"""`make bench`: what the relay costs, beside a handler that does the same job as it is usually written."""
