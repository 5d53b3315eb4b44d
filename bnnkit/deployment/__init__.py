"""Export of a checkpoint to an artifact, with calibration of its batch norms."""
