"""The file format: its constants, packed bits, metadata, samples, and its graph as it is read."""
