"""The workers: one process per device that claims jobs and supervises trainers."""
