"""The embedded stack: real servers started as plain child processes, for `make up` and for the tests."""
