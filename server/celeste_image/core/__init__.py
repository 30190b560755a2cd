"""What the program is about, as plain values: requests, events, cards, errors. Standard library only."""
