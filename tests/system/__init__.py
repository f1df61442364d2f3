"""Processes, packages, commands and what is deployed."""
