"""The Unprocessed queue."""
