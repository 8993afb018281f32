"""Graphs that answer fast: folded, halved or quantised, measured before and after.

Nothing here changes the catalogued weights; only the graph for predictions differs.
"""
