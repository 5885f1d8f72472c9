"""How much is under way at once, and for whom."""
