"""What the vendors' modules share: the record that each declares, and what they are made with."""
