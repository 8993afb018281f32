"""Modules that torch lacks, one idea per file; the spec's ``build`` makes them."""
