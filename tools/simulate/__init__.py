"""What `make simulate` runs: the real handlers in virtual time, with the stand-ins for AWS and Calven."""
