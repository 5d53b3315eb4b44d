"""What a plan holds in memory: values, prepared weights, quantile tables, counters, buffers."""
