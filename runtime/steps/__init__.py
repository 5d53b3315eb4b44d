"""The steps of a plan: each binds its kernel to buffers once, and is then a list of calls."""
