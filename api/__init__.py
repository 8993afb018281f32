"""The HTTP interface: one file per resource, its shapes and its routes together."""
