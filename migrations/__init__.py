"""How the database grows: one file per step in ``versions``."""
