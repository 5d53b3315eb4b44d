"""How accurate a network is, and how well its confidence is calibrated."""
