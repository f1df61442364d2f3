"""What starts a function: a webhook, a message in the queue, the schedule, the smoke test."""
