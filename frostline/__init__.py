"""Talk to a Frostline server, from Python and from the command line."""
