"""The relay: vendors' webhooks in, Calven's occupancy and time off out."""
