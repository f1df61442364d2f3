"""The webhooks of HR systems."""
