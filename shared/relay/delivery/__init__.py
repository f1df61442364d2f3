"""The way of an event: read, settled, sent to Calven, and what became of it."""
