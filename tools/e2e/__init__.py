"""The relay end to end: built, deployed with SAM, fed with signed events, and its dead letters mended."""
