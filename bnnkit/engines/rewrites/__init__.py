"""The same network in the operators that another engine runs fastest."""
