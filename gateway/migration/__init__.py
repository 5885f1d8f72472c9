"""How a move from Redis to Temporal is known to be safe."""
