"""The vocabulary of training: what may be asked for, checked without torch."""
