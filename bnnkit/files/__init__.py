"""Files of any kind: opened if regular, known by their first bytes, written whole or not."""
