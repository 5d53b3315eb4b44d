"""The passes that turn a graph with marks into the graph of an artifact; `lower` runs them all.

A mark is an operator of the domain `bnnkit` that says where a binary part is. Each pass is one
file with the name of its function; its docstring numbers the rules, and the code cites the
numbers.
"""
