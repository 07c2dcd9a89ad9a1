"""The floor of the house: numpy, Pillow, onnxruntime and pydantic only, never torch and nothing else of ours."""
