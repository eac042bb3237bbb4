"""A trained model in other forms: ONNX, fewer bits, the Hugging Face Hub with a card."""
