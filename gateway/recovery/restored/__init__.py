"""The database is behind its engines: a backup was restored, or an asynchronous standby took over."""
