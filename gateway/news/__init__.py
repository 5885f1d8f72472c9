"""Which kinds of things have changed: for pages that read again then, and ask for nothing meanwhile."""
