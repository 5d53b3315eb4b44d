"""From a lowered graph to the artifact: its metadata, operator functions and versions."""
