"""Where stages are kept: file, database, LaunchDarkly."""
