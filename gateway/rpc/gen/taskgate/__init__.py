"""Clients of a taskgate gateway."""
