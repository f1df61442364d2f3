"""`relayctl`: the relay's command for engineers and operators."""
