"""The schedule that closes operating days."""
