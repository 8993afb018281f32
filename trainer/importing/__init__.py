"""Models of other frameworks become model folders; no torch, nothing is executed.

    order → sniff → one reader per format → layers of ours → checks → model folder

A reader gives either `Weights` (names and arrays; the person's spec says what they are
for) or a `FoundNetwork` (layers in our own words). `reader` runs in a child process
with limits, which the catalog starts; what it says is data, never code.
"""
