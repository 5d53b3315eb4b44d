"""Export of a trained torch model as an artifact."""
