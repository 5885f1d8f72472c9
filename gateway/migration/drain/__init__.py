"""What is still left on Redis, and when it will be gone."""
