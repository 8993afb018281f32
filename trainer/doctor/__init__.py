"""The training doctor: figures of layers while they train, and what they mean."""
