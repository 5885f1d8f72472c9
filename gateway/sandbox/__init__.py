"""Work on what a tenant wrote, in child processes with limits of time and memory."""
