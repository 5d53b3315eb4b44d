"""The onnx_ir graph that passes read and edit; `graph` has the helpers."""
