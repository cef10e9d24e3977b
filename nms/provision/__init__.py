"""How devices get from what they are to what the inventory says."""
