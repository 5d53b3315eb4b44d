"""The file that is trained, exported and run: its graph, its bits, its noise, its checks."""
