"""The vendors: one file each, and nothing else. They know nothing of each other."""
