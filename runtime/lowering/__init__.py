"""From a graph to the steps that compute it; `lower` is the way in."""
