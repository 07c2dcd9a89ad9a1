"""The floor of the house: numpy, Pillow, onnxruntime and pydantic, never torch and nothing else of ours."""
