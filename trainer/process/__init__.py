"""A trainer as a process: its order, its frames, its start."""
