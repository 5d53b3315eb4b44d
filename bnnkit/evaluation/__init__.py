"""How accurate a network is, and how sure."""
