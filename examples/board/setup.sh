#!/bin/sh
# Install bnnkit on a board, compile its kernels, and check the model: sh setup.sh
set -eu
cd "$(dirname "$0")"
python3 -c 'import sys; sys.exit(sys.maxsize < 2**32 and "a 32-bit system: install the 64-bit one")'
# On Debian and Raspberry Pi OS: sudo apt-get install -y python3-venv
[ -d venv ] || python3 -m venv venv
venv/bin/pip install --upgrade pip
venv/bin/pip install ./bnnkit-*.whl
venv/bin/bnnkit warmup
venv/bin/python check_board.py
