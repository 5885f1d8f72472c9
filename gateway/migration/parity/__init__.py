"""Whether a tenant's tasks fare as well on one engine as on the other (docs/parity.md)."""
