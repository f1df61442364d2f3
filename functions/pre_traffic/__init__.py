"""The hook that lets a new version take traffic."""
