"""The one way in: what a client may ask for, and how it is accepted."""
