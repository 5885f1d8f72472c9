"""The move from Redis to Temporal: stages, plans, guardrails, and the proof that it is safe."""
