"""What is heard while it happens: relays (tiếp sóng) from a source to signed pages on the broker."""
