"""Tasks that nobody has begun follow the flag."""
