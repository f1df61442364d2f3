"""The relay in one process, with what it stores."""
