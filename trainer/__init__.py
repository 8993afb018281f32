"""Train deep networks from a declarative spec: a library that knows of no server."""
