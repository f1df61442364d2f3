"""`relayctl console`: what the relay does and holds, as one page on this machine."""
