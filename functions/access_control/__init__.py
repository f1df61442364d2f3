"""The webhooks of access-control systems."""
