"""How much is under way at once, for whom, and how often the database is searched."""
