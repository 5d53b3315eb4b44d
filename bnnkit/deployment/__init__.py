"""From a checkpoint to the calibrated artifact."""
