"""One append-only, hash-chained record: changes of routing, and every other administrative change."""
