"""One door for stages: reading and changing them."""
