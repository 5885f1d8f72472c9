"""What stands in for a language model and an embedding model where none is configured: rules and hashing."""
