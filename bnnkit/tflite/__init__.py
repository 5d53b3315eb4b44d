"""The .tflite format: its schema, and networks as plain data read from and written to files."""
