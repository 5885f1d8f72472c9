"""What ended and is old goes: nothing grows for ever (docs/retention.md)."""
