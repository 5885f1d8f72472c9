"""What the contract suites share: a whole gateway with its workers, people who use it, and handlers that obey tests."""
