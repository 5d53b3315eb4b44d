"""A trained torch model to an artifact."""
