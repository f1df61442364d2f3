"""The relay on one machine: its functions behind a local HTTP API, with stand-ins for AWS and Calven."""
