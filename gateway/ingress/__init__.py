"""Tasks that producers push past the gateway."""
