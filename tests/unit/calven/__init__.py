"""Rules, parsers and texts, each by itself: no storage and no process."""
